// The authorization server of the interop tests: `oidc-provider`, set up small, and a back door to its keys.
//
//   npm ci && node server.mjs [PORT]
//
// A counterpart for tests and nothing else: on 127.0.0.1 by plain http, everything in memory, everybody is logged in
// unasked. Without PORT it takes a free one. The line "listening http://127.0.0.1:PORT" says that it is ready, and
// what the issuer is called. SIGTERM stops it; where standard input is a pipe, so does its end.
//
// What it issues are JWTs of RFC 9068, for the one resource that is asked for (RFC 8707), any http(s) URL. The last
// part of its path picks the algorithm: /rs256, /ps256, /ed25519, /eddsa; else it is ES256. Scopes: orders:read,
// orders:write, orders:refund, and passkey, which stands for an acr. The secret of a client is its id and "-secret".
//
//   service             client_credentials; with a DPoP proof, which must have a nonce, the token is bound to its key
//   web                 authorization_code with PKCE, for the user `login_hint`, else alice; redirects to REDIRECT
//   agent-a, agent-b    token exchange (RFC 8693): the client becomes the actor, `act`, before those that were there
//   service-a, service-b, service-c    token exchange by the rules of `hops.mjs`, and client_credentials; service-b
//                       authenticates with the key of RFC 7515, appendix A.3 (`private_key_jwt`); service-c redeems grants
//                       of partners (RFC 7523)
//   any other           registers itself (RFC 7591), as MCP clients do. The scope that it names then is not kept: it may
//                       ask for more later. It gets a refresh token if it registers for the grant type
//
// A user logs in with a password, acr "pwd", or, each time that `acr_values` or the scope passkey asks for it, with the
// acr "phr". Tokens say so, and when it was. The scope passkey brings no refresh token, which would outlive the login.
// `prompt=consent` is answered with yes. As the library has it, `acr_values` and `max_age` need the scope openid.
//
// The back door, JSON in and JSON out. A generation is one key each of P-256, RSA and Ed25519.
//
//   POST /admin/publish       a new generation is published; it does not sign yet
//   POST /admin/sign          the newest generation signs
//   POST /admin/withdraw      all generations before the one that signs are published no more
//   POST /admin/mint          {"claims": {..}, "header": {..}, "generation": 1}: a token with these besides the usual
//                             ones, truly signed (ES256), also by a key that is withdrawn; null leaves one out
//   POST /admin/faults        [{"path": "/jwks", "status": 503, "delay_ms": 100, "drop": true, "silent": true}]: until
//                             the next list. "*" is every path but these here
//   GET  /admin/requests      {"/jwks": 2, ..}: how many came so far, those too that were answered with a fault
//
// `transactions.mjs` adds a transaction endpoint, at which a user approves one operation, and its back door.

import { createServer } from 'node:http'
import { randomBytes } from 'node:crypto'
import { fstatSync } from 'node:fs'
import * as jose from 'jose'
import { transactions } from './transactions.mjs'

// The library says that a newer Node would be better, and what must be set up otherwise in production.
console.info = console.warn = () => {}
const { default: Provider, errors, interactionPolicy } = await import('oidc-provider')
const { hops } = await import('./hops.mjs')

const EXCHANGE = 'urn:ietf:params:oauth:grant-type:token-exchange'
const JWT_BEARER = 'urn:ietf:params:oauth:grant-type:jwt-bearer'
const REDIRECT = 'http://127.0.0.1:9/callback' // nothing listens there: the client stops before it
const PASSKEY = 'passkey' // a scope that stands for the acr PHR, for clients that cannot ask for an acr
const PHR = 'phr'
const SCOPES = `orders:read orders:write orders:refund ${PASSKEY}`
const LIFE = 300

// Listens first, since the issuer's name has the port in it.
const server = createServer((req, res) => handle(req, res).catch((error) => {
  console.error(error)
  if (!res.headersSent) res.writeHead(500)
  res.end()
}))
server.keepAliveTimeout = 60_000
const port = Number(process.argv[2] ?? 0)
await new Promise((ready, failed) => server.on('error', failed).listen(port, '127.0.0.1', ready))
const ISSUER = `http://127.0.0.1:${server.address().port}`

// --- Keys

const generations = []
let signing = 0

async function generate() {
  const number = generations.length + 1
  const key = async (alg, name) => {
    const { privateKey } = await jose.generateKeyPair(alg, { extractable: true })
    return { ...(await jose.exportJWK(privateKey)), kid: `${name}-${number}`, use: 'sig' }
  }
  const keys = await Promise.all([key('ES256', 'ec'), key('RS256', 'rsa'), key('Ed25519', 'ed')])
  generations.push({ number, keys, published: true })
  return number
}

// The library signs with the first key that fits.
function published() {
  const all = generations.filter((generation) => generation.published)
  return all.sort((a, b) => (b.number === signing) - (a.number === signing)).flatMap((generation) => generation.keys)
}

async function mint({ claims = {}, header = {}, generation = signing }) {
  const key = generations[generation - 1].keys[0]
  const now = Math.floor(Date.now() / 1000)
  const jti = randomBytes(8).toString('hex')
  const usual = { iss: ISSUER, sub: 'alice', client_id: 'web', iat: now, exp: now + LIFE, jti }
  const told = (members) => Object.fromEntries(Object.entries(members).filter(([, value]) => value !== null))
  const body = new TextEncoder().encode(JSON.stringify(told({ ...usual, ...claims })))
  const head = told({ typ: 'at+jwt', kid: key.kid, ...header, alg: 'ES256' })
  return new jose.CompactSign(body).setProtectedHeader(head).sign(await jose.importJWK(key, 'ES256'))
}

// --- The library

const ALGORITHMS = { rs256: 'RS256', ps256: 'PS256', ed25519: 'Ed25519', eddsa: 'EdDSA' }

function resource(uri) {
  if (!/^https?:/.test(uri)) throw new errors.InvalidTarget()
  const alg = ALGORITHMS[new URL(uri).pathname.split('/').pop()] ?? 'ES256'
  return { scope: SCOPES, accessTokenFormat: 'jwt', accessTokenTTL: LIFE, jwt: { sign: { alg } } }
}

const client = (client_id, grants, redirect_uris = []) => ({
  client_id,
  client_secret: `${client_id}-secret`,
  grant_types: [grants].flat(),
  response_types: redirect_uris.length ? ['code'] : [],
  redirect_uris,
})
const nonceSecret = randomBytes(32)
const cookies = { keys: [randomBytes(16).toString('hex')] }
const actors = new WeakMap() // what token exchange puts into a token

// RFC 7515, appendix A.3.
const KEY_OF_SERVICE_B = {
  kty: 'EC',
  crv: 'P-256',
  x: 'f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU',
  y: 'x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0',
  kid: 'service-b',
  use: 'sig',
  alg: 'ES256',
}

const clients = [
  client('service', 'client_credentials'),
  client('web', 'authorization_code', [REDIRECT]),
  client('agent-a', EXCHANGE),
  client('agent-b', EXCHANGE),
  client('service-a', [EXCHANGE, 'client_credentials']),
  {
    ...client('service-b', [EXCHANGE, 'client_credentials']),
    token_endpoint_auth_method: 'private_key_jwt',
    token_endpoint_auth_signing_alg: 'ES256',
    jwks: { keys: [KEY_OF_SERVICE_B] },
  },
  client('service-c', JWT_BEARER),
]
const approvals = transactions({
  issuer: ISSUER,
  clients: clients.map(({ client_id }) => client_id),
  isPublic: async (id) => id && (await provider.Client.find(id))?.clientAuthMethod === 'none',
  types: ['payment', 'order_refund'],
  mint,
})

const open = () => published().map(({ d, p, q, dp, dq, qi, ...key }) => key)
const services = hops({ issuer: ISSUER, life: LIFE, keys: open, mint, describe: resource, claims: actors })

let provider
let callback

// Keys are given once, so another set of keys is another provider. What they remember, they share.
function build() {
  const policy = interactionPolicy.base()
  policy.remove('consent')
  policy.add(new interactionPolicy.Prompt({ name: 'consent', requestable: true }))
  const strong = ({ oidc }) => acrOf(oidc.params) === PHR && !oidc.result?.login
  policy.get('login').checks.add(new interactionPolicy.Check('acr', 'a strong login is needed', strong))
  provider = new Provider(ISSUER, {
    jwks: { keys: published() },
    clients,
    discovery: { transaction_authorization_endpoint: `${ISSUER}/transaction` },
    scopes: ['openid', 'offline_access', ...SCOPES.split(' ')],
    acrValues: [PHR],
    clientDefaults: { id_token_signed_response_alg: 'ES256' },
    // Each client passes here, when it registers too, and with whatever scope it names.
    extraClientMetadata: { properties: ['scope'], validator: (_, name, __, metadata) => delete metadata[name] },
    issueRefreshToken: (_, client, { scopes }) => client.grantTypeAllowed('refresh_token') && !scopes.has(PASSKEY),
    cookies,
    ttl: { AuthorizationCode: LIFE, IdToken: LIFE, Interaction: LIFE, Session: LIFE, Grant: LIFE },
    features: {
      devInteractions: { enabled: false },
      clientCredentials: { enabled: true },
      registration: { enabled: true },
      dPoP: { enabled: true, nonceSecret, requireNonce: () => true },
      resourceIndicators: {
        enabled: true,
        defaultResource: () => undefined,
        getResourceServerInfo: (_, uri) => resource(uri),
      },
    },
    interactions: { policy, url: (_, interaction) => `/login/${interaction.uid}` },
    findAccount: (_, id) => ({ accountId: id, claims: () => ({ sub: id }) }),
    // Whatever is asked for is granted.
    async loadExistingGrant({ oidc }) {
      const grant = new provider.Grant({ clientId: oidc.client.clientId, accountId: oidc.session.accountId })
      grant.addOIDCScope('openid offline_access')
      grant.addResourceScope(oidc.params.resource, SCOPES)
      await grant.save()
      return grant
    },
    extraTokenClaims: ({ oidc }, token) => ({ ...authenticated(oidc.entities), ...actors.get(token) }),
  })
  const asked = ['subject_token', 'subject_token_type', 'requested_token_type', 'resource', 'audience', 'scope']
  provider.registerGrantType(EXCHANGE, exchange, asked)
  provider.registerGrantType(JWT_BEARER, (ctx) => services.assert(provider, ctx), ['assertion', 'resource', 'scope'])
  provider.on('server_error', (_, error) => console.error(error))
  callback = provider.callback()
}

// The acr that this request asks for.
function acrOf({ acr_values: values, scope }) {
  const strong = values?.split(' ').includes(PHR) || scope?.split(' ').includes(PASSKEY)
  return strong ? PHR : 'pwd'
}

// How and when the user logged in, whose code or refresh token this is.
function authenticated({ AuthorizationCode: code, RefreshToken: refresh }) {
  const source = code ?? refresh
  return source && { acr: source.acr, auth_time: source.authTime }
}

async function login(req, res) {
  const { params } = await provider.interactionDetails(req, res)
  const login = { accountId: params.login_hint ?? 'alice', acr: acrOf(params) }
  return provider.interactionFinished(req, res, { login, consent: {} })
}

// The token of the subject, of this server's own; the client that asks is who acts for it from now on.
async function exchange(ctx) {
  const { params, client } = ctx.oidc
  if (client.clientId.startsWith('service-')) {
    if (!services.knows(client.clientId)) throw new errors.UnauthorizedClient('the service has no hops')
    return services.exchange(provider, ctx)
  }
  const ours = { issuer: ISSUER, typ: 'at+jwt' }
  const verified = jose.jwtVerify(params.subject_token, jose.createLocalJWKSet({ keys: open() }), ours)
  const { payload: subject } = await verified.catch(() => {
    throw new errors.InvalidRequest('subject_token is no token of this server')
  })
  const aud = params.resource ?? subject.aud
  const token = new provider.AccessToken({ accountId: subject.sub, client, gty: EXCHANGE })
  token.resourceServer = new provider.ResourceServer(aud, resource(aud))
  token.scope = subject.scope
  actors.set(token, { act: { sub: client.clientId, act: subject.act } })
  ctx.body = {
    access_token: await token.save(),
    issued_token_type: 'urn:ietf:params:oauth:token-type:access_token',
    token_type: 'Bearer',
    expires_in: LIFE,
  }
}

// --- The back door

const requests = {}
let faults = []

const admin = {
  'POST /admin/publish': async () => {
    const generation = await generate()
    build()
    return { generation }
  },
  'POST /admin/sign': () => {
    signing = generations.length
    build()
    return { generation: signing }
  },
  'POST /admin/withdraw': () => {
    for (const generation of generations) if (generation.number < signing) generation.published = false
    build()
    return {}
  },
  'POST /admin/mint': async (input) => ({ token: await mint(input) }),
  'POST /admin/faults': (input) => {
    faults = input
    return {}
  },
  'GET /admin/requests': () => requests,
  ...approvals.admin,
  ...services.admin,
}

async function handle(req, res) {
  const { pathname } = new URL(req.url, ISSUER)
  const command = admin[`${req.method} ${pathname}`]
  if (command) {
    let body = ''
    for await (const chunk of req) body += chunk
    const answer = JSON.stringify(await command(body ? JSON.parse(body) : {}))
    return res.writeHead(200, { 'content-type': 'application/json' }).end(answer)
  }
  requests[pathname] = (requests[pathname] ?? 0) + 1
  const fault = faults.find(({ path }) => path === pathname || path === '*')
  if (fault?.silent) return
  if (fault?.delay_ms) await new Promise((over) => setTimeout(over, fault.delay_ms))
  if (fault?.drop) return req.socket.destroy()
  if (fault?.status) return res.writeHead(fault.status).end()
  if (pathname.split('/')[1] === 'transaction') return approvals.handle(req, res)
  return pathname.startsWith('/login/') ? login(req, res) : callback(req, res)
}

signing = await generate()
build()
console.log(`listening ${ISSUER}`)

process.on('SIGTERM', () => process.exit())
if (fstatSync(0).isFIFO() || fstatSync(0).isSocket()) process.stdin.resume().on('end', () => process.exit())

// The transaction endpoint of the authorization server of the interop tests, as draft-rosomakho-oauth-txn-challenge-00
// asks: a client hands in the challenge that a resource signed, a user reads it and decides, and the client gets a token
// for this one transaction.
//
//   POST /transaction    transaction_challenge=..  and optionally scope=..; the client authenticates by Basic, or sends
//                        its client_id if it registered as a public client. It gets
//                        200 {transaction_authorization_id, authorization_uri, expires_in, interval}
//   POST /transaction    transaction_authorization_id=..  It gets the token, or 400: authorization_pending, slow_down,
//                        access_denied, expired_token
//   GET  authorization_uri    what the user sees: {"resource", "reason", "authorization_details", "client", "act"}
//   POST authorization_uri    user=alice&decision=yes (or no) and optionally acr=phr: the user, who is logged in by being
//                             named, in this class
//
// A resource is recognized only if the back door named it:
//
//   POST /admin/resources     {"resource": "https://payments.example", "at": "http://127.0.0.1:4321"}: its metadata and
//                             its keys are fetched from there
//   POST /admin/transactions  {"claims": {..}}: claims that replace those of the next tokens, as of a server that errs;
//                             null leaves one out

import { randomBytes } from 'node:crypto'
import * as jose from 'jose'

const TYP = 'txn-authz-challenge+jwt'
const ASYMMETRIC = ['ES256', 'ES384', 'ES512', 'PS256', 'PS384', 'PS512', 'RS256', 'RS384', 'RS512', 'EdDSA', 'Ed25519']
const LIFE = 3600 // of a transaction that waits for its user
const TOKEN_LIFE = 300
const INTERVAL = 1

class Refused extends Error {
  constructor(error, description, status = 400) {
    super(description)
    Object.assign(this, { error, status })
  }
}

const invalid = (description) => new Refused('invalid_request', description)

/**
 * @param issuer the name of this server
 * @param clients the ids of the clients; the secret of each is its id and "-secret"
 * @param isPublic says whether a client of this id registered without a secret
 * @param types the types of authorization details that a user can be asked for
 * @param mint makes a token with these claims
 */
export function transactions({ issuer, clients, isPublic, types, mint }) {
  const resources = new Map() // name of a resource to where it is
  const open = new Map() // transaction_authorization_id to what is asked
  const seen = new Set() // challenges, by resource and `jti`
  let replaced = {}

  async function authenticate(req, form) {
    if (!req.headers.authorization && (await isPublic(form.get('client_id')))) return form.get('client_id')
    const [scheme, credentials = ''] = (req.headers.authorization ?? '').split(' ')
    const [id, secret] = Buffer.from(credentials, 'base64').toString().split(':').map(decodeURIComponent)
    if (scheme.toLowerCase() !== 'basic' || !clients.includes(id) || secret !== `${id}-secret`) {
      throw new Refused('invalid_client', 'the client does not authenticate', 401)
    }
    return id
  }

  /** The document below this URL of a resource, fetched from where the resource is. */
  async function fetched(url, resource) {
    const { origin, pathname } = new URL(url)
    if (origin !== new URL(resource).origin) throw invalid('the keys of the resource are elsewhere')
    const answer = await fetch(new URL(pathname, resources.get(resource)), { redirect: 'error' })
    if (!answer.ok) throw invalid(`${pathname} of the resource answers ${answer.status}`)
    return answer.json()
  }

  async function verified(challenge) {
    const said = (read) => {
      try {
        return read(challenge)
      } catch {
        throw invalid('the challenge is not a JWT')
      }
    }
    const header = said(jose.decodeProtectedHeader)
    const { iss } = said(jose.decodeJwt)
    if (header.typ !== TYP) throw invalid(`the typ of the challenge is ${header.typ}`)
    if (typeof header.kid !== 'string') throw invalid('the challenge names no key')
    if (!resources.has(iss)) throw invalid('the resource is not known here')
    const { origin, pathname } = new URL(iss)
    const path = `/.well-known/oauth-protected-resource${pathname === '/' ? '' : pathname}`
    const metadata = await fetched(`${origin}${path}`, iss)
    if (metadata.resource !== iss) throw invalid('the metadata is that of another resource')
    if (!metadata.authorization_servers?.includes(issuer)) throw invalid('the resource does not name this server')
    const algorithms = metadata.txn_challenge_signing_alg_values_supported ?? []
    if (!algorithms.includes(header.alg) || !ASYMMETRIC.includes(header.alg)) {
      throw invalid(`the resource does not sign by ${header.alg}`)
    }
    const { keys } = await fetched(metadata.txn_challenge_jwks_uri, iss)
    if (keys.some((key) => 'd' in key || 'k' in key)) throw invalid('the resource publishes a private key')
    const key = keys.filter(({ kid, use, alg }) => kid === header.kid && use === 'sig' && alg === header.alg)
    if (key.length !== 1) throw invalid('the resource publishes no such key')
    const options = { issuer: iss, algorithms: [header.alg], typ: TYP, requiredClaims: ['iat', 'exp', 'jti', 'txn'] }
    const { payload } = await jose.jwtVerify(challenge, await jose.importJWK(key[0]), options).catch((error) => {
      throw invalid(`the challenge does not verify: ${error.code}`)
    })
    const { aud, txn, jti, reason, authorization_details: details, act } = payload
    if (aud !== issuer) throw invalid('the challenge is for another server')
    if (typeof txn !== 'string' || !txn || txn.length > 128) throw invalid('txn is not a string of 1 to 128 characters')
    if (typeof jti !== 'string') throw invalid('jti is not a string')
    if (typeof reason !== 'string' || !reason) throw invalid('the challenge has no reason')
    if (!Array.isArray(details) || !details.length || !details.every(({ type }) => types.includes(type))) {
      throw invalid('authorization_details is not a list of known types')
    }
    if (act !== undefined && typeof act?.sub !== 'string') throw invalid('act has no sub')
    const id = `${iss} ${jti}`
    if (seen.has(id)) throw invalid('the challenge was handed in before')
    seen.add(id)
    return payload
  }

  async function begin(client, form) {
    const challenge = await verified(form.get('transaction_challenge'))
    const id = randomBytes(16).toString('base64url')
    open.set(id, { client, challenge, scope: form.get('scope') ?? undefined, until: Date.now() + 1000 * LIFE })
    return {
      transaction_authorization_id: id,
      authorization_uri: `${issuer}/transaction/${id}`,
      expires_in: LIFE,
      interval: INTERVAL,
    }
  }

  async function poll(client, id) {
    const asked = open.get(id)
    if (asked?.client !== client) throw invalid('there is no such transaction of this client')
    const early = Date.now() < (asked.next ?? 0)
    asked.next = Date.now() + 1000 * INTERVAL
    if (early) throw new Refused('slow_down', 'asked too soon')
    if (Date.now() > asked.until) throw new Refused('expired_token', 'the user did not decide in time')
    if (asked.decision === undefined) throw new Refused('authorization_pending', 'the user has not decided yet')
    open.delete(id)
    if (asked.decision !== 'yes') throw new Refused('access_denied', 'the user said no')
    const { iss: aud, txn, authorization_details, act } = asked.challenge
    const now = Math.floor(Date.now() / 1000)
    const claims = {
      aud,
      sub: asked.user,
      client_id: client,
      ...(asked.scope && { scope: asked.scope }),
      ...(act && { act }),
      txn,
      authorization_details,
      ...(asked.acr && { acr: asked.acr }),
      auth_time: now,
      iat: now,
      exp: now + TOKEN_LIFE,
      ...replaced,
    }
    return { access_token: await mint({ claims }), token_type: 'Bearer', expires_in: TOKEN_LIFE, authorization_details }
  }

  async function decide(id, form) {
    const asked = open.get(id)
    if (!asked || asked.decision !== undefined) throw invalid('there is nothing to decide')
    if (!form.get('user')) throw invalid('no user is logged in')
    const [user, acr] = [form.get('user'), form.get('acr')]
    Object.assign(asked, { user, acr, decision: form.get('decision') === 'yes' ? 'yes' : 'no' })
    return {}
  }

  function shown(id) {
    const asked = open.get(id)
    if (!asked) throw invalid('there is no such transaction')
    const { iss: resource, reason, authorization_details, act } = asked.challenge
    return { resource, reason, authorization_details, client: asked.client, act }
  }

  return {
    admin: {
      'POST /admin/resources': ({ resource, at }) => {
        resources.set(resource, at)
        return {}
      },
      'POST /admin/transactions': ({ claims = {} }) => {
        replaced = claims
        return {}
      },
    },
    /** Answers a request below `/transaction`. */
    async handle(req, res) {
      const answer = (status, body) => {
        const headers = { 'content-type': 'application/json', 'cache-control': 'no-store' }
        res.writeHead(status, headers).end(JSON.stringify(body))
      }
      try {
        let body = ''
        for await (const chunk of req) body += chunk
        const form = new URLSearchParams(body)
        const id = new URL(req.url, issuer).pathname.split('/')[2]
        if (id && req.method === 'GET') return answer(200, shown(id))
        if (req.method !== 'POST') throw new Refused('invalid_request', 'expected POST', 405)
        if (id) return answer(200, await decide(id, form))
        const client = await authenticate(req, form)
        const waiting = form.get('transaction_authorization_id')
        return answer(200, await (waiting === null ? begin(client, form) : poll(client, waiting)))
      } catch (error) {
        if (!(error instanceof Refused)) throw error
        answer(error.status, { error: error.error, error_description: error.message })
      }
    },
  }
}

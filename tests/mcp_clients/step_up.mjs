// A client that follows what no SDK follows yet: a step-up by `acr_values` and `max_age` (RFC 9470), and the approval of
// one operation. It is the SDK of the second generation with a `fetch` of its own: node step_up.mjs URL

import { Client, StreamableHTTPClientTransport, UnauthorizedError, auth, extractWWWAuthenticateParams } from '@modelcontextprotocol/client'
import { Memory, REDIRECT, REFUND, answers, browse, says, serverUrl, shownFetch, told } from './client.mjs'

const url = serverUrl()

/** The value of a parameter of a challenge. */
const parameter = (challenge, name) => challenge.match(new RegExp(`[ ,]${name}="([^"]*)"`))?.[1]

/** A memory that adds what the challenge asked for to the next authorization request. */
class SteppingUp extends Memory {
  async redirectToAuthorization(authorization) {
    for (const [name, value] of Object.entries(this.asked ?? {})) authorization.searchParams.set(name, value)
    // The server ties `acr_values` to this scope, as many do.
    const scope = authorization.searchParams.get('scope')
    if (this.asked?.acr_values) authorization.searchParams.set('scope', `openid ${scope}`)
    return super.redirectToAuthorization(authorization)
  }
}
const memory = new SteppingUp({ name: 'step-up' })

/** Sends a request again after the login or the approval that its challenge asks for. Each of them once. */
async function steppingUp(target, init) {
  const headers = new Headers(init?.headers)
  if (String(target) === url.href) headers.set('accept-txn-challenge', '?1')
  let answer = await shownFetch(target, { ...init, headers })
  for (const follow of [loggedIn, approved]) {
    const token = answer.status === 401 && (await follow(answer))
    if (!token) continue
    headers.set('authorization', `Bearer ${token}`)
    answer = await shownFetch(target, { ...init, headers })
  }
  return answer
}

/** The token that a stronger or newer login brings, if the challenge asks for one. */
async function loggedIn(answer) {
  const challenge = answer.headers.get('www-authenticate') ?? ''
  if (parameter(challenge, 'error') !== 'insufficient_user_authentication') return
  const asked = ['acr_values', 'max_age'].map((name) => [name, parameter(challenge, name)])
  memory.asked = Object.fromEntries(asked.filter(([, value]) => value))
  const { resourceMetadataUrl, scope } = extractWWWAuthenticateParams(answer)
  const options = { serverUrl: url, resourceMetadataUrl, scope: scope ?? memory.saved.scope, fetchFn: shownFetch }
  await auth(memory, { ...options, forceReauthorization: true })
  await auth(memory, { ...options, authorizationCode: memory.callback.get('code'), iss: memory.callback.get('iss') })
  memory.asked = undefined
  return memory.saved.access_token
}

/** The token for one transaction, once the user has approved what the challenge says. The old token is kept. */
async function approved(answer) {
  const challenge = parameter(answer.headers.get('www-authenticate') ?? '', 'transaction_challenge')
  if (!challenge) return
  const { transaction_authorization_endpoint: endpoint } = memory.discovered.authorizationServerMetadata
  const ask = (fields) => shownFetch(endpoint, { method: 'POST', body: new URLSearchParams({ client_id: memory.client.client_id, ...fields }) })
  const transaction = await (await ask({ transaction_challenge: challenge, scope: memory.saved.scope })).json()
  const page = transaction.authorization_uri
  const { reason } = await (await fetch(page)).json()
  console.log(`    the user reads: ${reason}`)
  await fetch(page, { method: 'POST', body: new URLSearchParams({ user: 'alice', decision: 'yes', acr: 'phr' }) })
  const token = await (await ask({ transaction_authorization_id: transaction.transaction_authorization_id })).json()
  return token.access_token
}

const connect = async () => {
  const transport = new StreamableHTTPClientTransport(url, { authProvider: memory, fetch: steppingUp })
  const client = new Client({ name: 'step-up', version: '1.0.0' }, { versionNegotiation: { mode: 'auto' } })
  await client.connect(transport).catch(async (error) => {
    if (error instanceof UnauthorizedError) await transport.finishAuth(memory.callback)
    throw error
  })
  return client
}

says('It connects without a token. The user logs in with a password.')
const client = await connect().catch((error) => {
  if (error instanceof UnauthorizedError) return connect()
  throw error
})

// The server recognizes only resources that were named to it. This one is where its name says.
const { authorizationServerUrl: issuer } = memory.discovered
const resource = JSON.stringify({ resource: url.href, at: url.origin })
await fetch(new URL('/admin/resources', issuer), { method: 'POST', body: resource })

says('This server, as many do, takes acr_values only beside the scope openid.')
const { authorization_endpoint: endpoint } = memory.discovered.authorizationServerMetadata
const bare = { client_id: memory.client.client_id, response_type: 'code', redirect_uri: REDIRECT, scope: REFUND, acr_values: 'phr' }
const pkce = { code_challenge: 'E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM', code_challenge_method: 'S256' }
const query = new URLSearchParams({ ...bare, ...pkce, resource: url.href })
const refused = await browse(new URL(`${endpoint}?${query}`)).catch((error) => error)
if (!String(refused.message).includes('openid')) throw new Error(`expected a refusal, got ${refused}`)
console.log(`    the server refuses: ${new URLSearchParams(refused.message.split('?')[1]).get('error_description')}`)

says('It refunds an order. The challenge asks for a login with a passkey, and the next one for the approval.')
const from = answers.length
const args = { order: 7, amount: '80.00', currency: 'EUR' }
told(await client.callTool({ name: 'refund_order', arguments: args }))
const challenges = answers.slice(from).filter(({ challenge }) => challenge).map(({ status, challenge }) => [status, challenge])
const expected = [
  [401, 'error="insufficient_user_authentication"', 'acr_values="phr"', 'max_age="300"', REFUND],
  [401, 'error="transaction_authorization_required"', 'transaction_challenge="'],
]
const fits = ([status, ...parts], [got, challenge]) => got === status && parts.every((part) => challenge.includes(part))
if (challenges.length !== expected.length || !expected.every((it, index) => fits(it, challenges[index]))) {
  throw new Error(`expected ${JSON.stringify(expected)}, got ${JSON.stringify(challenges)}`)
}
await client.close()
console.log('  A client of its own: all as expected.')

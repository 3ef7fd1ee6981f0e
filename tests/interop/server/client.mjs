// The client of the interop tests: `oauth4webapi`, with its own DPoP code, as its documentation says to use it.
//
//   node client.mjs ISSUER RESOURCE ALG
//
// One JSON command a line on standard input, one JSON answer a line on standard output; it ends with its input. ALG is
// of the proof key: ES256 or Ed25519.
//
//   {"do": "token"}       a token of the client `service` for RESOURCE: {"token", "type", "scope", "nonces", "jkt"}
//   {"do": "call", "method": "GET", "url": "..", "how": "bound"}
//                         a request with that token: {"status", "body", "nonces", "challenges", "nonce"}
//   .. "how": "bearer"    under the scheme Bearer, without a proof
//   .. "how": "stranger"  with a proof of another key
//   .. "unsent": true     what would be sent, and is not: {"headers": [["authorization", ".."], ..]}
//
// "nonces" is how often it was told to use another nonce, and tried again with it; "nonce" is what the answer told it
// to use next.

import { createInterface } from 'node:readline'
import * as oauth from 'oauth4webapi'

const [issuer, resource, alg] = process.argv.slice(2)
const http = { [oauth.allowInsecureRequests]: true }
const client = { client_id: 'service' }
const secret = oauth.ClientSecretBasic('service-secret')
const server = await oauth.processDiscoveryResponse(
  new URL(issuer),
  await oauth.discoveryRequest(new URL(issuer), { ...http, algorithm: 'oauth2' }),
)
const handle = async () => oauth.DPoP(client, await oauth.generateKeyPair(alg))
const [mine, strangers] = [await handle(), await handle()]
const proofs = { bound: mine, stranger: strangers, bearer: undefined }

let token

// What the library keeps of a refusal is the nonce; trying again is the caller's.
async function withNonce(attempt) {
  for (let nonces = 0; ; nonces++) {
    try {
      return { ...(await attempt()), nonces }
    } catch (error) {
      if (nonces === 0 && oauth.isDPoPNonceError(error)) continue
      if (!(error instanceof oauth.WWWAuthenticateChallengeError)) throw error
      return { ...(await told(error.response)), challenges: error.cause, nonces }
    }
  }
}

async function told(response) {
  return { status: response.status, body: await response.text(), nonce: response.headers.get('dpop-nonce') }
}

const commands = {
  async token() {
    const { access_token, token_type, scope, nonces } = await withNonce(async () => {
      const asked = { resource, scope: 'orders:read orders:write' }
      const options = { ...http, DPoP: mine }
      const response = await oauth.clientCredentialsGrantRequest(server, client, secret, asked, options)
      return oauth.processClientCredentialsResponse(server, client, response)
    })
    token = access_token
    return { token, type: token_type, scope, nonces, jkt: await mine.calculateThumbprint() }
  },
  async call({ method, url, how, unsent }) {
    const options = { ...http, DPoP: proofs[how] }
    let headers
    if (unsent) {
      options[oauth.customFetch] = async (_, init) => {
        headers = Object.entries(init.headers)
        return new Response()
      }
    }
    const answer = await withNonce(async () =>
      told(await oauth.protectedResourceRequest(token, method, new URL(url), undefined, null, options)))
    return unsent ? { headers } : answer
  },
}

for await (const line of createInterface({ input: process.stdin })) {
  const command = JSON.parse(line)
  console.log(JSON.stringify(await commands[command.do](command)))
}

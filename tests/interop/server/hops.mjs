// Token exchange between services, and what leads to another domain (RFC 8693, RFC 7523), each with checks of its own.
//
// A service is the client of one resource. What it may ask for, the back door says:
//
//   POST /admin/hops      {"client": "service-a", "resource": "http://127.0.0.1:1111",
//                          "to": {"http://127.0.0.1:2222": {"scopes": {"stock:reserve": "orders:write"}, "acr": "phr"}}}
//                         it exchanges tokens that are for its resource; each scope of the next resource needs this one of
//                         the token that is exchanged; `acr` is optional: without it in the token, the user must log in again
//   POST /admin/partners  {"issuer": "http://127.0.0.1:3333"}: its grants (`jwt-bearer`) are accepted, for
//                         {"scopes": [..], "resource": ..}
//
// The token that is issued ends no later than the one it was made from, has the client as its actor before those that were
// there, and is bound if there is a proof.

import * as jose from 'jose'
import { errors } from 'oidc-provider'
import validateDpop from 'oidc-provider/lib/helpers/validate_dpop.js'
import { applyDpopBinding } from 'oidc-provider/lib/helpers/grant_common.js'

const TYPE = 'urn:ietf:params:oauth:token-type:'
const ACCESS_TOKEN = `${TYPE}access_token`
const GRANTS = { [`${TYPE}jwt`]: 'JWT', [`${TYPE}id-jag`]: 'oauth-id-jag+jwt' }
const TXN_TOKEN = `${TYPE}txn_token`
const TRUST_DOMAIN = 'trust.example'

/**
 * @param issuer the name of this server
 * @param life how long a token lasts at most, in seconds
 * @param keys returns the public keys of this server
 * @param mint makes a token with these claims and header members
 * @param describe the settings of a resource
 * @param claims where the claims of a token are put
 */
export function hops({ issuer, life, keys, mint, describe, claims }) {
  const services = new Map() // id of a client to what it may ask for
  const partners = new Map() // issuer to what its grants may ask for

  async function verified(token, audience) {
    const options = { issuer, audience, typ: 'at+jwt', requiredClaims: ['exp', 'sub', 'client_id', 'jti'] }
    const { payload } = await jose.jwtVerify(token, jose.createLocalJWKSet({ keys: keys() }), options).catch((error) => {
      throw new errors.InvalidRequest(`subject_token does not verify: ${error.code}`)
    })
    // A token that names other resources too could be used there.
    if (payload.aud !== audience) throw new errors.InvalidRequest('subject_token is for other resources too')
    return payload
  }

  /** The scopes that are asked for, each of which needs one of the token's. */
  function narrowed(asked, allowed, subject) {
    const held = new Set((subject.scope ?? '').split(' '))
    const scopes = (asked ?? '').split(' ').filter(Boolean)
    if (!scopes.length) throw new errors.InvalidScope('no scope is asked for', asked)
    for (const scope of scopes) {
      if (!Object.hasOwn(allowed, scope) || !held.has(allowed[scope])) {
        throw new errors.InvalidScope('the token does not allow this scope', scope)
      }
    }
    return scopes.join(' ')
  }

  async function accessToken(provider, ctx, { sub, scope, resource, lasts, extra, gty, dPoP }) {
    const { client } = ctx.oidc
    const token = new provider.AccessToken({ accountId: sub, client, gty })
    token.resourceServer = new provider.ResourceServer(resource, { ...describe(resource), scope, accessTokenTTL: lasts })
    token.scope = scope
    await applyDpopBinding(provider, ctx, dPoP, token)
    claims.set(token, extra)
    return { access_token: await token.save(), token_type: token.tokenType, expires_in: lasts, scope }
  }

  return {
    knows: (client) => services.has(client),
    async exchange(provider, ctx) {
      const { params, client } = ctx.oidc
      const service = services.get(client.clientId)
      if (params.subject_token_type !== ACCESS_TOKEN) throw new errors.InvalidRequest('subject_token_type is another')
      const dPoP = await validateDpop(provider, ctx)
      const subject = await verified(params.subject_token, service.resource)
      const now = Math.floor(Date.now() / 1000)
      const lasts = Math.min(life, subject.exp - now)
      const { sub, acr, auth_time } = subject
      const act = { sub: client.clientId, ...(subject.act && { act: subject.act }) }
      const extra = { act, ...(acr && { acr }), ...(auth_time && { auth_time }) }
      const requested = params.requested_token_type
      const signed = async (typ, aud, more) => ({
        access_token: await mint({ claims: { aud, sub, iat: now, exp: now + lasts, ...extra, ...more }, header: { typ } }),
        issued_token_type: requested,
        token_type: 'N_A',
        expires_in: lasts,
      })
      const target = service.to[params.resource ?? params.audience]
      if (!target) throw new errors.InvalidTarget()
      if (target.acr && target.acr !== acr) {
        ctx.status = 400
        ctx.body = { error: 'insufficient_user_authentication', acr_values: target.acr }
        return
      }
      const scope = narrowed(params.scope, target.scopes, subject)
      if (requested === ACCESS_TOKEN) {
        const asked = { sub, scope, resource: params.resource, lasts, extra, gty: params.grant_type, dPoP }
        ctx.body = { ...(await accessToken(provider, ctx, asked)), issued_token_type: ACCESS_TOKEN }
      } else if (GRANTS[requested] && target.server === params.audience) {
        const more = { client_id: client.clientId, scope, resource: params.resource }
        ctx.body = await signed(GRANTS[requested], params.audience, more)
      } else if (requested === TXN_TOKEN && params.audience === TRUST_DOMAIN) {
        ctx.body = await signed('txntoken+jwt', TRUST_DOMAIN, { txn: subject.jti, scope, req_wl: client.clientId })
      } else {
        throw new errors.InvalidRequest('requested_token_type is another')
      }
    },
    /** RFC 7523: the grant of a partner. */
    async assert(provider, ctx) {
      const { params } = ctx.oidc
      const dPoP = await validateDpop(provider, ctx)
      const { iss } = jose.decodeJwt(params.assertion)
      const partner = partners.get(iss)
      if (!partner) throw new errors.InvalidGrant('the issuer of the assertion is not a partner')
      const options = { issuer: iss, audience: issuer, requiredClaims: ['exp', 'sub', 'jti'] }
      const jwks = jose.createRemoteJWKSet(new URL(`${iss}/jwks`))
      const { payload, protectedHeader } = await jose.jwtVerify(params.assertion, jwks, options).catch((error) => {
        throw new errors.InvalidGrant(`the assertion does not verify: ${error.code}`)
      })
      if (!Object.values(GRANTS).includes(protectedHeader.typ)) throw new errors.InvalidGrant('it is not a grant')
      if (payload.aud !== issuer) throw new errors.InvalidGrant('it is for others too')
      if (params.resource !== partner.resource || payload.resource !== partner.resource) throw new errors.InvalidTarget()
      const allowed = Object.fromEntries(partner.scopes.map((scope) => [scope, scope]))
      const scope = narrowed(params.scope, allowed, payload)
      const lasts = Math.min(life, payload.exp - Math.floor(Date.now() / 1000))
      const extra = { ...(payload.act && { act: payload.act }) }
      const asked = { sub: payload.sub, scope, resource: params.resource, lasts, extra, gty: params.grant_type, dPoP }
      ctx.body = await accessToken(provider, ctx, asked)
    },
    admin: {
      'POST /admin/hops': ({ client, resource, to }) => {
        services.set(client, { resource, to })
        return {}
      },
      'POST /admin/partners': ({ issuer: name, ...allowed }) => {
        partners.set(name, allowed)
        return {}
      },
    },
  }
}

// What a client of an MCP SDK brings along: a memory for its OAuth code, a user with a browser, and a line for each
// request that it sends.

export const REDIRECT = 'http://127.0.0.1:9/callback' // nothing listens there: the browser stops before it
export const READ = 'orders:read'
export const WRITE = 'orders:write'
export const REFUND = 'orders:refund'
export const PASSKEY = 'passkey'

/** The answers in the order in which they came: `{ what, status, challenge }`. */
export const answers = []

/** `fetch`, with a line for each request, and its challenge. */
export async function shownFetch(url, init = {}) {
  const { origin, pathname } = new URL(url)
  const what = `${init.method ?? 'GET'} ${origin === server ? '' : origin}${pathname}${called(init.body)}`
  const answer = await fetch(url, init)
  const challenge = answer.headers.get('www-authenticate')
  answers.push({ what, status: answer.status, challenge })
  console.log(`    ${what} -> ${answer.status}`)
  if (challenge) console.log(`        ${shortened(challenge)}`)
  return answer
}

let server
/** The URL of the MCP server, which is the argument of the command line. */
export function serverUrl() {
  const url = new URL(process.argv[2])
  server = url.origin
  return url
}

/** The method of a JSON-RPC message, or the grant type of a token request. */
function called(body) {
  if (!body) return ''
  if (body instanceof URLSearchParams || !String(body).startsWith('{')) {
    const grant = new URLSearchParams(body).get('grant_type')
    return grant ? ` ${grant}` : ''
  }
  const { method, params } = JSON.parse(body)
  if (!method) return ''
  return ` ${method}${params?.name ? ` ${params.name}` : ''}`
}

/** A challenge without its longest values. */
function shortened(challenge) {
  return challenge.replace(/, resource_metadata="[^"]*"/, '').replace(/"([^"]{60})[^"]*"/g, '"$1.."')
}

/** What the OAuth code of both generations of the SDK asks of its client. Everything is kept in memory. */
export class Memory {
  redirectUrl = REDIRECT
  constructor({ name, grants = ['authorization_code'] }) {
    this.clientMetadata = {
      client_name: name,
      redirect_uris: [REDIRECT],
      grant_types: grants,
      response_types: ['code'],
      token_endpoint_auth_method: 'none',
    }
  }
  state() {
    return (this.expected = crypto.randomUUID())
  }
  clientInformation() {
    return this.client
  }
  saveClientInformation(client) {
    this.client = client
  }
  tokens() {
    return this.saved
  }
  saveTokens(tokens) {
    this.saved = tokens
    console.log(`    a token for the scope "${tokens.scope}"${tokens.refresh_token ? ', and a refresh token' : ''}`)
  }
  codeVerifier() {
    return this.verifier
  }
  saveCodeVerifier(verifier) {
    this.verifier = verifier
  }
  discoveryState() {
    return this.discovered
  }
  saveDiscoveryState(state) {
    this.discovered = state
  }
  async redirectToAuthorization(url) {
    this.callback = await browse(url)
    if (this.callback.get('state') !== this.expected) throw new Error('another state came back')
  }
}

/** The user's browser goes to the login, and comes back with the parameters of the callback. */
export async function browse(url) {
  const shown = ['scope', 'prompt', 'acr_values', 'max_age'].filter((name) => url.searchParams.has(name))
  console.log(`    the user logs in: ${shown.map((name) => `${name}="${url.searchParams.get(name)}"`).join(' ')}`)
  const cookies = new Map()
  for (let hops = 0; hops < 10; hops += 1) {
    if (url.href.startsWith(REDIRECT)) {
      if (!url.searchParams.has('code')) throw new Error(`no code came back: ${url.search}`)
      return url.searchParams
    }
    const cookie = [...cookies].map((pair) => pair.join('=')).join('; ')
    const answer = await fetch(url, { redirect: 'manual', headers: { cookie } })
    for (const line of answer.headers.getSetCookie()) {
      const [, name, value] = line.match(/^([^=]+)=([^;]*)/)
      if (value) cookies.set(name, value)
      else cookies.delete(name)
    }
    const next = answer.headers.get('location')
    if (!next) throw new Error(`the login answers ${answer.status}: ${await answer.text()}`)
    url = new URL(next, url)
  }
  throw new Error('the login does not end')
}

/** Calls a tool, shows what it says, and fails if it is not a success. */
export function told(result) {
  const said = result.content?.map(({ text }) => text).join(' ')
  console.log(`    the tool says: ${said}`)
  if (result.isError) throw new Error(`the tool ends with an error: ${said}`)
  return said
}

export function says(what) {
  console.log(`  ${what}`)
}

/** Fails unless one of the answers from this one on was a challenge, with this status and these parts in it. */
export function challenged(from, status, ...parts) {
  const found = answers.slice(from).filter(({ challenge }) => challenge)
  const fits = found.length === 1 && found[0].status === status && parts.every((part) => found[0].challenge.includes(part))
  if (!fits) throw new Error(`expected one ${status} with ${parts.join(', ')}, got ${JSON.stringify(found)}`)
}

/** Fails if one of the answers from this one on was a challenge. */
export function unchallenged(from) {
  const found = answers.slice(from).filter(({ challenge }) => challenge)
  if (found.length) throw new Error(`expected no challenge, got ${JSON.stringify(found)}`)
}

/** Fails unless the client was asked for an acr in the answers from this one on, and ended with this error. */
export function notFollowed(from, error) {
  const asked = answers.slice(from).some(({ challenge }) => challenge?.includes('acr_values="phr"'))
  if (!asked || !(error instanceof Error)) throw new Error(`expected it to give up, got ${error}`)
  console.log(`    the SDK gives up: ${error.message}`)
}

/** Fails unless the token has exactly these scopes. */
export function granted(memory, ...scopes) {
  const got = memory.saved.scope.split(' ').filter((scope) => scope !== 'offline_access').sort()
  if (got.join(' ') !== scopes.sort().join(' ')) throw new Error(`expected a token for ${scopes}, got ${got}`)
}

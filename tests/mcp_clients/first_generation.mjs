// The first generation of the TypeScript SDK, and its own OAuth code: node first_generation.mjs URL

import { createRequire } from 'node:module'
import { Client } from '@modelcontextprotocol/sdk/client/index.js'
import { StreamableHTTPClientTransport } from '@modelcontextprotocol/sdk/client/streamableHttp.js'
import { UnauthorizedError } from '@modelcontextprotocol/sdk/client/auth.js'
import { Memory, PASSKEY, READ, WRITE, answers, challenged, granted, notFollowed, says, serverUrl, shownFetch, told, unchallenged } from './client.mjs'

const url = serverUrl()

async function connected(memory) {
  for (let attempt = 0; ; attempt += 1) {
    const transport = new StreamableHTTPClientTransport(url, { authProvider: memory, fetch: shownFetch })
    const client = new Client({ name: 'first-generation', version: '1.0.0' })
    try {
      await client.connect(transport)
      return { client, transport }
    } catch (error) {
      if (attempt || !(error instanceof UnauthorizedError)) throw error
      await transport.finishAuth(memory.callback.get('code'))
    }
  }
}

/** Calls a tool. Whenever the SDK has sent the user to a login, finishes it and calls again. */
async function call({ client, transport }, memory, name, args = {}) {
  for (let logins = 0; ; logins += 1) {
    try {
      return told(await client.callTool({ name, arguments: args }))
    } catch (error) {
      if (logins === 3 || !(error instanceof UnauthorizedError)) throw error
      await transport.finishAuth(memory.callback.get('code'))
    }
  }
}

says('It connects without a token. The challenge says where to ask, and for which scope.')
const memory = new Memory({ name: 'first-generation' })
const connection = await connected(memory)
challenged(0, 401, `scope="${READ}"`)
granted(memory, READ)

says('It reads.')
let from = answers.length
await call(connection, memory, 'list_orders')
unchallenged(from)

says('It writes, is challenged for more scope, asks for it and comes back.')
from = answers.length
await call(connection, memory, 'create_order', { item: 'a teapot' })
challenged(from, 403, 'error="insufficient_scope"', READ, WRITE)
granted(memory, READ, WRITE)

says('It refunds, and is challenged for a login with a passkey. It does not follow the acr, and gives up.')
from = answers.length
const refund = { order: 7, amount: '80.00', currency: 'EUR' }
notFollowed(from, await call(connection, memory, 'refund_order', refund).catch((error) => error))

says('It cancels. A scope stands for the login with a passkey: it asks for it and comes back.')
from = answers.length
await call(connection, memory, 'cancel_order', { order: 7 })
challenged(from, 403, 'error="insufficient_scope"', PASSKEY)

await connection.client.close()

says('With a refresh token it renews its token when it is challenged, and does not ask for more: its own fault.')
const renewing = new Memory({ name: 'first-generation, renewing', grants: ['authorization_code', 'refresh_token'] })
const other = await connected(renewing)
const failed = await call(other, renewing, 'create_order', { item: 'a teapot' }).catch((error) => error)
if (!String(failed).includes('403 after trying upscoping')) throw new Error(`expected it to give up, got ${failed}`)
granted(renewing, READ)
console.log(`    the SDK gives up: ${failed.message}`)
await other.client.close()

const { version } = createRequire(import.meta.url)('./node_modules/@modelcontextprotocol/sdk/package.json')
console.log(`  @modelcontextprotocol/sdk ${version}: all as expected.`)

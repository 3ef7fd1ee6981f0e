// The second generation of the TypeScript SDK, and its own OAuth code: node second_generation.mjs URL

import { readFileSync } from 'node:fs'
import { Client, StreamableHTTPClientTransport, UnauthorizedError } from '@modelcontextprotocol/client'
import { Memory, PASSKEY, READ, WRITE, answers, challenged, granted, notFollowed, says, serverUrl, shownFetch, told, unchallenged } from './client.mjs'

const url = serverUrl()
const grants = ['authorization_code', 'refresh_token']

async function connected(memory, mode) {
  for (let attempt = 0; ; attempt += 1) {
    const transport = new StreamableHTTPClientTransport(url, { authProvider: memory, fetch: shownFetch })
    const client = new Client({ name: 'second-generation', version: '1.0.0' }, { versionNegotiation: { mode } })
    try {
      await client.connect(transport)
      return { client, transport }
    } catch (error) {
      if (attempt || !(error instanceof UnauthorizedError)) throw error
      await transport.finishAuth(memory.callback)
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
      await transport.finishAuth(memory.callback)
    }
  }
}

// Both eras of the protocol: with sessions, and without.
for (const [mode, era] of [['legacy', '2025-11-25'], ['auto', '2026-07-28']]) {
  says(`It connects without a token, as clients of ${era} do. It asks for a refresh token too, by prompt=consent.`)
  let from = answers.length
  const memory = new Memory({ name: 'second-generation', grants })
  const connection = await connected(memory, mode)
  challenged(from, 401, `scope="${READ}"`)
  granted(memory, READ)
  if (!memory.saved.refresh_token) throw new Error('expected a refresh token')
  const version = connection.client.getNegotiatedProtocolVersion?.() ?? connection.transport.protocolVersion
  if (version !== era) throw new Error(`expected ${era}, got ${version}`)

  says('It reads.')
  from = answers.length
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
}

const { version } = JSON.parse(readFileSync('node_modules/@modelcontextprotocol/client/package.json'))
console.log(`  @modelcontextprotocol/client ${version}: all as expected.`)

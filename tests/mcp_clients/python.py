"""Python's SDK, and its own OAuth code: python python.py URL"""

import asyncio
import importlib.metadata
import json
import re
import sys
from urllib.parse import parse_qs, urljoin, urlsplit

import httpx2
from mcp import Client, MCPError
from mcp.client.auth import OAuthClientProvider
from mcp.client.streamable_http import streamable_http_client
from mcp.shared.auth import AuthorizationCodeResult, OAuthClientMetadata

URL = sys.argv[1]
REDIRECT = "http://127.0.0.1:9/callback"  # nothing listens there: the browser stops before it
READ, WRITE, PASSKEY = "orders:read", "orders:write", "passkey"

# The status and the challenge of each answer, in the order in which they came.
answers = []


async def shown(answer):
    """Prints a line for an answer, and its challenge."""
    request = answer.request
    url = str(request.url)
    where = url.split("?")[0].removeprefix(URL.removesuffix("/mcp"))
    try:
        message = json.loads(request.content)
    except (ValueError, httpx2.RequestNotRead):
        message = {}
    called = [message.get("method"), (message.get("params") or {}).get("name")]
    grant = re.search(rb"grant_type=(\w+)", request.content) if request.method == "POST" else None
    what = [request.method, where, *called, grant and grant[1].decode()]
    print(f"    {' '.join(filter(None, what))} -> {answer.status_code}")
    challenge = answer.headers.get("www-authenticate")
    answers.append((answer.status_code, challenge))
    if challenge:
        challenge = re.sub(r', resource_metadata="[^"]*"', "", challenge)
        print("        " + re.sub(r'"([^"]{60})[^"]*"', r'"\1.."', challenge))


class Memory:
    """What the OAuth code of the SDK asks of its client. Everything is kept in memory."""

    tokens = client_info = None

    async def get_tokens(self):
        return self.tokens

    async def set_tokens(self, tokens):
        self.tokens = tokens
        more = ", and a refresh token" if tokens.refresh_token else ""
        print(f'    a token for the scope "{tokens.scope}"{more}')

    async def get_client_info(self):
        return self.client_info

    async def set_client_info(self, client_info):
        self.client_info = client_info


class Browser:
    """The user's browser: it goes to the login, and comes back with the parameters of the callback."""

    async def go(self, url):
        asked = parse_qs(urlsplit(url).query)
        shown = [f'{name}="{asked[name][0]}"' for name in ("scope", "prompt", "acr_values") if name in asked]
        print(f"    the user logs in: {' '.join(shown)}")
        async with httpx2.AsyncClient() as http:
            for _ in range(10):
                if url.startswith(REDIRECT):
                    break
                answer = await http.get(url)
                if "location" not in answer.headers:
                    raise RuntimeError(f"the login answers {answer.status_code}: {answer.text}")
                url = urljoin(url, answer.headers["location"])
        self.callback = {name: values[0] for name, values in parse_qs(urlsplit(url).query).items()}
        if "code" not in self.callback:
            raise RuntimeError(f"no code came back: {url}")

    async def came_back(self):
        back = self.callback
        return AuthorizationCodeResult(code=back["code"], state=back.get("state"), iss=back.get("iss"))


def challenged(since, status, *parts):
    """Fails unless one of the answers from this one on was a challenge, with this status and these parts in it."""
    found = [answer for answer in answers[since:] if answer[1]]
    if len(found) != 1 or found[0][0] != status or not all(part in found[0][1] for part in parts):
        raise RuntimeError(f"expected one {status} with {parts}, got {found}")


def granted(memory, *scopes):
    """Fails unless the token has exactly these scopes."""
    got = set(memory.tokens.scope.split()) - {"offline_access"}
    if got != set(scopes):
        raise RuntimeError(f"expected a token for {scopes}, got {got}")


async def call(client, name, **arguments):
    result = await client.call_tool(name, arguments)
    said = " ".join(block.text for block in result.content)
    print(f"    the tool says: {said}")
    if result.is_error:
        raise RuntimeError(f"the tool ends with an error: {said}")


async def story(mode, era):
    memory, browser, since = Memory(), Browser(), len(answers)
    metadata = OAuthClientMetadata(
        client_name="python", redirect_uris=[REDIRECT], token_endpoint_auth_method="none"
    )
    oauth = OAuthClientProvider(URL, metadata, memory, browser.go, browser.came_back)
    hooks = {"response": [shown]}
    async with httpx2.AsyncClient(auth=oauth, event_hooks=hooks, timeout=30) as http:
        print(f"  It connects without a token, as clients of {era} do. It asks for a refresh token too.")
        async with Client(streamable_http_client(URL, http_client=http), mode=mode) as client:
            challenged(since, 401, f'scope="{READ}"')
            granted(memory, READ)
            if client.session.protocol_version != era:
                raise RuntimeError(f"expected {era}, got {client.session.protocol_version}")

            print("  It reads.")
            since = len(answers)
            await call(client, "list_orders")
            if any(challenge for _, challenge in answers[since:]):
                raise RuntimeError(f"expected no challenge, got {answers[since:]}")

            print("  It writes, is challenged for more scope, asks for it and comes back.")
            since = len(answers)
            await call(client, "create_order", item="a teapot")
            challenged(since, 403, 'error="insufficient_scope"', READ, WRITE)
            granted(memory, READ, WRITE)

            print("  It refunds, and is challenged for a login with a passkey. It does not follow the acr, and gives up.")
            since = len(answers)
            try:
                await call(client, "refund_order", order=7, amount="80.00", currency="EUR")
            except MCPError as error:
                print(f"    the SDK gives up: {error}")
            else:
                raise RuntimeError("expected it to give up")
            if not any('acr_values="phr"' in (challenge or "") for _, challenge in answers[since:]):
                raise RuntimeError(f"expected a challenge for an acr, got {answers[since:]}")

            print("  It cancels. A scope stands for the login with a passkey: it asks for it and comes back.")
            since = len(answers)
            await call(client, "cancel_order", order=7)
            challenged(since, 403, 'error="insufficient_scope"', PASSKEY)


async def main():
    for mode, era in (("legacy", "2025-11-25"), ("auto", "2026-07-28")):
        await story(mode, era)
    print(f"  mcp {importlib.metadata.version('mcp')}: all as expected.")


asyncio.run(main())

"""Makes the calls that standard input lists, with grpcio, and prints what it saw of each as a line of JSON.

A call is a JSON object: `address`, `method` (a path), `message` (hex of the bytes in protobuf) and `authorization` (a list).
It knows no messages of the service: the bytes pass as they are. The details are decoded by Google's own library.
"""

import json
import sys

import grpc
from google.rpc import error_details_pb2
from grpc_status import rpc_status


def details_of(error):
    status = rpc_status.from_call(error)
    if status is None:
        return None
    (detail,) = status.details
    info = error_details_pb2.ErrorInfo()
    if not detail.Unpack(info):
        return None
    return {"reason": info.reason, "domain": info.domain, "metadata": dict(info.metadata)}


def call(channel, asked):
    method = channel.unary_stream(asked["method"], lambda message: message, lambda message: message)
    metadata = [("authorization", value) for value in asked["authorization"]]
    messages = []
    try:
        for message in method(bytes.fromhex(asked["message"]), metadata=metadata, timeout=30):
            messages.append(message)
        return {"code": 0, "text": "", "messages": len(messages), "metadata": [], "details": None}
    except grpc.RpcError as error:
        trailing = [entry for entry in error.trailing_metadata() if not entry.key.endswith("-bin")]
        return {
            "code": error.code().value[0],
            "text": error.details(),
            "messages": len(messages),
            "metadata": [[entry.key, entry.value] for entry in trailing],
            "details": details_of(error),
        }


for line in sys.stdin:
    asked = json.loads(line)
    with grpc.insecure_channel(asked["address"]) as channel:
        print(json.dumps(call(channel, asked)), flush=True)

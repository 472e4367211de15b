# %% A future instead of a call
import bankkit


def refusal(stub, request):
    error = stub.CreateAccount.future(request).exception()
    if error is None:
        return None
    return error.code().name, getattr(bankkit.error_info(error), "reason", "")


# %% Reads the details of the status itself
import grpc
from google.rpc import error_details_pb2
from grpc_status import rpc_status


def refusal(stub, request):
    try:
        stub.CreateAccount(request)
    except grpc.RpcError as error:
        reason = ""
        info = error_details_pb2.ErrorInfo()
        status = rpc_status.from_call(error)
        for detail in status.details if status else ():
            if detail.Unpack(info):
                reason = info.reason
        return error.code().name, reason


# %% A named tuple, and match
from typing import NamedTuple

import grpc

import bankkit


class Refusal(NamedTuple):
    code: str
    reason: str = ""


def refusal(stub, request):
    try:
        stub.CreateAccount.with_call(request)
    except grpc.RpcError as error:
        code = str(error.code()).removeprefix("StatusCode.")
        match bankkit.error_info(error):
            case None:
                return Refusal(code)
            case info:
                return Refusal(code, info.reason)


# %% A list of the two texts
import grpc

import bankkit


def refusal(stub, request):
    try:
        stub.CreateAccount(request)
        return
    except grpc.RpcError as error:
        texts = [error.code().name]
        try:
            texts.append(bankkit.error_info(error).reason)
        except AttributeError:
            texts.append("")
        return texts

# %% The text instead of the reason
# expects: text for people
import grpc


def refusal(stub, request):
    try:
        stub.CreateAccount(request)
    except grpc.RpcError as error:
        return error.code().name, error.details()


# %% The code object instead of its name
# expects: take its `.name`
import grpc

import bankkit


def refusal(stub, request):
    try:
        stub.CreateAccount(request)
    except grpc.RpcError as error:
        return error.code(), bankkit.error_info(error).reason


# %% Reads a reason even if no bank answered
# expects: there is no ErrorInfo in it
import grpc

import bankkit


def refusal(stub, request):
    try:
        stub.CreateAccount(request)
    except grpc.RpcError as error:
        return error.code().name, bankkit.error_info(error).reason


# %% Catches nothing
# expects: return `None`
def refusal(stub, request):
    reply = stub.CreateAccount(request)
    return reply.message

"""Why a service refused a call."""

from google.rpc import error_details_pb2, status_pb2
from grpc import aio


def reason_of(call: aio.AioRpcError) -> str:
    """The ErrorInfo reason of a failed outgoing call; empty when the other side gave none."""
    for key, value in call.trailing_metadata() or ():
        if key == "grpc-status-details-bin" and isinstance(value, bytes):
            for detail in status_pb2.Status.FromString(value).details:
                info = error_details_pb2.ErrorInfo()
                if detail.Unpack(info):
                    return str(info.reason)
    return ""

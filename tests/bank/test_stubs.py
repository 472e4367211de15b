"""The stubs in `bankkit/pb` match `proto/bank.proto`, and work with every supported version."""

import re
import subprocess
import sys

import pytest
from google.protobuf.descriptor_pb2 import FileDescriptorProto, FileDescriptorSet

from bankkit.pb import bank_pb2
from tests.support.paths import ROOT
from tests.support.versions import floors

PB = ROOT / "bankkit" / "pb"


@pytest.fixture(scope="module")
def compiled(tmp_path_factory: pytest.TempPathFactory) -> FileDescriptorProto:
    """The current `proto/bank.proto`, compiled."""
    pytest.importorskip("grpc_tools", reason="no protoc: pip install 'bankkit[test]'")
    out = tmp_path_factory.mktemp("proto") / "set"
    protoc = [sys.executable, "-m", "grpc_tools.protoc", "-Ibankkit/pb=proto"]
    command = [*protoc, f"--descriptor_set_out={out}", "bankkit/pb/bank.proto"]
    subprocess.run(command, cwd=ROOT, check=True)
    (file,) = FileDescriptorSet.FromString(out.read_bytes()).file
    for message in file.message_type:
        for field in message.field:
            field.ClearField("json_name")  # protoc writes this field here, but not into the stubs
    return file


def test_messages_are_up_to_date(compiled: FileDescriptorProto) -> None:
    stored = FileDescriptorProto.FromString(bank_pb2.DESCRIPTOR.serialized_pb)
    assert stored == compiled, "stale stubs: run `make proto`"


def test_types_are_up_to_date(compiled: FileDescriptorProto) -> None:
    stub = (PB / "bank_pb2.pyi").read_text()
    declared = {
        name: re.findall(r"^    ([a-z_]+): ", body, re.MULTILINE)
        for name, body in re.findall(
            r"^class (\w+)\(.*?\):\n(.*?)(?=^class |\Z)", stub, re.M | re.S
        )
    }
    assert declared == {
        message.name: [field.name for field in message.field] for message in compiled.message_type
    }, "stale stubs: run `make proto`"


def test_the_service_is_up_to_date(compiled: FileDescriptorProto) -> None:
    stub = (PB / "bank_pb2_grpc.py").read_text()
    (service,) = compiled.service
    called = set(re.findall(rf"'/{service.name}/(\w+)',\n\s+request_serializer", stub))
    assert called == {method.name for method in service.method}, "stale stubs: run `make proto`"


def test_stubs_are_made_by_the_oldest_tools_allowed() -> None:
    """Stubs made by newer tools cannot be imported with an older grpcio or protobuf."""
    oldest = floors("test")
    generated = re.search(r"GRPC_GENERATED_VERSION = '(.+)'", (PB / "bank_pb2_grpc.py").read_text())
    assert generated is not None
    assert generated[1] == oldest["grpcio"]
    gencode = re.search(r"# Protobuf Python Version: (.+)", (PB / "bank_pb2.py").read_text())
    assert gencode is not None
    assert gencode[1] == oldest["protobuf"]
    makefile = (ROOT / "Makefile").read_text()
    assert f"GRPC_TOOLS := grpcio-tools=={oldest['grpcio-tools']}\n" in makefile

"""SLURM's accounts for the tests' cluster: slurmdbd on a MariaDB of their own, in one folder.

The database begins empty, without the tables of MariaDB itself but for the one that slurmdbd keeps
its functions in, as its set-up program takes longer than all the rest.
"""

import re
import socket
from collections.abc import Callable
from pathlib import Path

TABLES = Path("/usr/share/mysql/mysql_system_tables.sql")
DATABASE = ["--no-defaults", "--user=root", "--skip-grant-tables", "--skip-name-resolve"]
DATABASE += ["--bind-address=127.0.0.1", "--innodb-buffer-pool-size=64M"]
DATABASE += ["--innodb-log-file-size=16M", "--innodb-flush-log-at-trx-commit=0"]
DATABASE += ["--performance-schema=off"]

SLURMDBD = """
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket,cred_expire=10
DbdHost={host}
DbdAddr=127.0.0.1
DbdPort={ports[0]}
SlurmUser=root
PidFile={folder}/slurmdbd.pid
LogFile={folder}/slurmdbd.log
StorageType=accounting_storage/mysql
StorageHost=127.0.0.1
StoragePort={ports[1]}
StorageUser=root
StorageLoc=slurm
"""
# In slurm.conf. The password is where sacctmgr looks for munge.
ENFORCED = """
AccountingStorageType=accounting_storage/slurmdbd
AccountingStorageHost=127.0.0.1
AccountingStoragePort={ports[0]}
AccountingStoragePass={folder}/munge.socket
AccountingStorageEnforce=associations,limits,qos
"""
ACCOUNT = "lab"
MINUTE = "minute"  # a QoS whose jobs may take a minute
# What sacctmgr is told.
ACCOUNTS = (
    "add cluster test",
    f"add account {ACCOUNT}",
    f"add user root account={ACCOUNT} defaultaccount={ACCOUNT}",
    f"add qos {MINUTE} MaxWall=1 Flags=DenyOnLimit",
    f"modify user root set qos=normal,{MINUTE}",
)

Begin = Callable[..., Path]
Wait = Callable[[Callable[[], bool], str, Path], None]


def listens(port: int) -> bool:
    with socket.socket() as one:
        return one.connect_ex(("127.0.0.1", port)) == 0


def begin_database(folder: Path, port: int, begin: Begin, wait: Wait) -> None:
    data = folder / "database"
    data.mkdir()
    functions = re.search(
        r"^CREATE TABLE IF NOT EXISTS proc .*;$", TABLES.read_text(), re.MULTILINE
    )
    assert functions is not None
    first = folder / "first.sql"
    first.write_text(f"CREATE DATABASE mysql;\nUSE mysql;\n{functions[0]}\n")
    # The path of a Unix socket may have 107 characters.
    words = [f"--datadir={data}", f"--socket={folder}/db", f"--init-file={first}"]
    words += [f"--port={port}", f"--pid-file={folder}/db.pid", f"--tmpdir={data}"]
    log = begin("mariadbd", *DATABASE, *words)
    wait(lambda: listens(port), "the database is silent", log)


def begin_accounting(folder: Path, host: str, ports: list[int], begin: Begin, wait: Wait) -> None:
    """Start slurmdbd, once munged and the database are there."""
    conf = folder / "slurmdbd.conf"
    conf.write_text(SLURMDBD.format(folder=folder, host=host, ports=ports))
    conf.chmod(0o600)
    log = begin("slurmdbd", "-D")
    wait(lambda: listens(ports[0]), "slurmdbd is silent", log)

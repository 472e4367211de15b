# %% A stack of undo steps
import contextlib


def pay(client, sender, receiver, dollars):
    with contextlib.ExitStack() as undo:
        client.withdraw(sender, dollars)
        undo.callback(client.deposit, sender, dollars)
        client.deposit(receiver, dollars)
        undo.pop_all()


# %% finally, and a flag
def pay(client, sender, receiver, dollars):
    client.withdraw(sender, dollars)
    arrived = False
    try:
        client.deposit(receiver, dollars)
        arrived = True
    finally:
        if not arrived:
            client.deposit(sender, dollars)


# %% Looks at both accounts first, and still puts the money back
import bankkit


def pay(client, sender, receiver, dollars):
    for account_id in (sender, receiver):
        client.get_balance(account_id)
    client.withdraw(sender, dollars)
    try:
        return client.deposit(receiver, dollars)
    except bankkit.CallError as error:
        client.deposit(sender, dollars)
        raise error


# %% Puts the money back by paying it to the sender
def move(put, account_id, dollars, otherwise=None):
    try:
        put(account_id, dollars)
    except Exception:
        if otherwise:
            move(put, otherwise, dollars)
        raise


def pay(client, sender, receiver, dollars):
    client.withdraw(sender, dollars)
    move(client.deposit, receiver, dollars, otherwise=sender)

# %% Deposits before it withdraws
# expects: created from nothing
def pay(client, sender, receiver, dollars):
    client.deposit(receiver, dollars)
    client.withdraw(sender, dollars)


# %% Does not put the money back
# expects: put the money back
def pay(client, sender, receiver, dollars):
    client.withdraw(sender, dollars)
    client.deposit(receiver, dollars)


# %% Looks for the receiver first
# expects: Looking first is not enough
def pay(client, sender, receiver, dollars):
    client.get_balance(receiver)
    client.withdraw(sender, dollars)
    client.deposit(receiver, dollars)


# %% Hides the error
# expects: Your function hides it
import bankkit


def pay(client, sender, receiver, dollars):
    client.withdraw(sender, dollars)
    try:
        client.deposit(receiver, dollars)
    except bankkit.CallError:
        client.deposit(sender, dollars)


# %% Looks at the balance and does nothing
# expects: no money moves
def pay(client, sender, receiver, dollars):
    if client.get_balance(sender).balance >= dollars:
        client.withdraw(sender, dollars)
        client.deposit(receiver, dollars)

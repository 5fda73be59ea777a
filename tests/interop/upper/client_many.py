"""The upper-casing client of tutorials for a server that has several in turn: an empty line is not sent, but asked again."""
import sys
from socket import AF_INET, AF_INET6, SOCK_STREAM, gethostname, socket

host = sys.argv[2] if len(sys.argv) > 2 else gethostname()
port = int(sys.argv[1])

client = socket(AF_INET6 if ":" in host else AF_INET, SOCK_STREAM)
client.connect((host, port))
while True:
    text = input("请输入要发送的信息:").strip()
    if not text:
        print("不能发送空消息")
        continue
    client.send(text.encode("utf-8"))
    print("---------客户端已经发送消息------------")
    print(client.recv(1024).decode("utf-8"))

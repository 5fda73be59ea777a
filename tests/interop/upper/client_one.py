"""The upper-casing client of tutorials: asks, sends, shows. It ends with its input."""
import sys
from socket import AF_INET, AF_INET6, SOCK_STREAM, socket

host, port = sys.argv[1], int(sys.argv[2])
buffer_size = 1024

client = socket(AF_INET6 if ":" in host else AF_INET, SOCK_STREAM)
client.connect((host, port))
while True:
    text = input("请输入要发送的信息:")
    client.send(bytes(text, "utf-8"))
    print("---------客户端已经发送消息------------")
    print(client.recv(buffer_size).decode("utf-8"))

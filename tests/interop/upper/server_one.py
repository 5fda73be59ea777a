"""The upper-casing server of tutorials, for one client. It takes the end of the stream for a message and never ends."""
import sys
from socket import AF_INET, AF_INET6, SOCK_STREAM, SOL_SOCKET, SO_REUSEADDR, socket

host, port = sys.argv[1], int(sys.argv[2])
back_log, buffer_size = 5, 1024

server = socket(AF_INET6 if ":" in host else AF_INET, SOCK_STREAM)
server.setsockopt(SOL_SOCKET, SO_REUSEADDR, 1)
server.bind((host, port))
server.listen(back_log)
print("服务端开始运行")
connection, address = server.accept()
while True:
    data = connection.recv(buffer_size)
    print("客户端发来的信息是", data.decode("utf-8"))
    connection.send(data.upper())

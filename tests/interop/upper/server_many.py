"""The upper-casing server of tutorials for several clients in turn. Whatever way one leaves, the next one's turn comes:
theirs knows an exception only, and here the end of the stream is one as well."""
import sys
from socket import AF_INET, AF_INET6, SOCK_STREAM, SOL_SOCKET, SO_REUSEADDR, gethostname, socket

host = sys.argv[2] if len(sys.argv) > 2 else gethostname()
port = int(sys.argv[1])

server = socket(AF_INET6 if ":" in host else AF_INET, SOCK_STREAM)
server.setsockopt(SOL_SOCKET, SO_REUSEADDR, 1)
server.bind((host, port))
server.listen(5)
while True:
    print("服务端开始运行", host)
    connection, address = server.accept()
    while True:
        try:
            data = connection.recv(1024)
            if not data:
                break
            print("客户端发来的信息是", data.decode("utf-8"))
            connection.send(data.upper())
        except OSError as error:
            print("客户端异常断开", error)
            break
    connection.close()

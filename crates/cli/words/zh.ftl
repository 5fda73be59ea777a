### 命令显示的中文信息。
### 各种语言里同名的值含义相同：$doing 是当时在做的事，$error 是错误的说明，$address 是用户写的地址，$at 是实际的地址。

## 命令失败时

failure-told = { $doing }：{ $error }；{ $advice }
failure-file = 无法写入 { $path }：{ $error }；请选择已有目录里的文件
failure-output = 无法写到输出：{ $error }
failure-input = 无法读取输入：{ $error }；请输入 UTF-8 的文字，一行一行地输入
failure-start = 无法启动：{ $error }
advice-refused = 那里没有程序在监听：请先运行服务端
advice-timed-out = 对方不在，或者途中有设备丢弃了发送的数据
advice-reset = 对方断开了连接：请重新连接
advice-in-use = 另一个程序占用了这个端口（用 ss -lntup 查看）：请结束它，或者换一个端口
advice-no-such-address = 这里没有这个地址：用 ip address 查看本机的地址，--net tun: 的地址是 addr= 给出的，0.0.0.0 表示全部
advice-not-permitted = 1024 以下的端口需要 root 权限，广播地址需要 --broadcast
advice-no-way = 没有到那个地址的路：用 ip route 查看
advice-network-down = 网络设备已经消失或损坏：请重新运行程序
advice-usage = 请看 --help
advice-network = 请检查名字、地址和网络

## 用户的输入、Ctrl-C、地址

console-no-input = 无法读取输入：{ $error }；请输入一行一行的文字
console-not-utf8 = 输入的第 { $number } 行不是 UTF-8，没有发送；请先转换，例如用 iconv
console-closing = 正在正常关闭；再按一次 Ctrl-C 立即中止
console-no-answer = { $limit } 内没有回答
console-cannot-listen = 无法在 { $address } 监听
console-cannot-connect = 无法连接 { $address }
console-cannot-accept = 无法接受客户端
console-talking = 与 { $address } 的对话
address-no-port = 缺少端口：主机:端口，例如 127.0.0.1:9001 或 [::1]:9001
address-port-too-large = 没有端口 { $port }：端口是 0 到 65535
address-port-no-number = “{ $port }”不是端口：端口是 0 到 65535 的数字
address-brackets = IPv6 地址要写在方括号里：[::1]:9001

## sockeye upper

upper-listening = 服务端开始运行，地址是 { $at }；按 Ctrl-C 结束
upper-connected = 已连接；输入一行按回车，Q 结束

## sockeye udp

udp-cannot-send = 无法发送到 { $address }
udp-cannot-use = 无法使用 { $address }
udp-cannot-use-any = 没有可用的端口
udp-cannot-receive = 无法在 { $address } 接收
udp-receiving = 在 { $at } 接收；按 Ctrl-C 结束

## sockeye chat

chat-listening = 正在 { $at } 监听；按 Ctrl-C 结束
chat-ends = 已从 { $from } 连接到 { $to }，用时 { $time }
chat-sum = 收到 { $heard } 条消息，发送 { $said } 条，用时 { $time }
chat-joined = { $name }（{ $peer }）加入
chat-left = { $name }（{ $peer }）离开
chat-let-go = { $name }（{ $peer }）被断开
chat-room-broke-off = { $name }（{ $peer }）断开了连接：{ $error }
chat-udp-server-first = 用 UDP 时服务端不能先说：收到数据报之前不知道对方是谁；请使用 --turns client
chat-unix-of-the-system = AF_UNIX 的名字属于操作系统：请去掉 --net
chat-wrong-family = { $doing }：没有这一类的地址；请去掉 -4、-6 或 -s，或者换一个地址
advice-unix-nobody = 那里没有程序在监听：请先运行服务端
advice-unix-in-use = 另一个程序在那里监听：请结束它，或者换一个名字
advice-unix-file = 那里的文件不会被改动：请换一个路径，或者删除它
advice-unix-not-permitted = 文件的主人或者它的目录不允许：用 ls -l 查看
advice-unix-full = 那里等待的程序太多：请再试一次

## --net

place-accepted = 可以写 os、lab 或 tun:名字,addr=10.77.0.2/24
place-linux-only = TUN 设备只有 Linux 才有；请用 os
place-needs-name = TUN 设备需要名字和地址：tun:NAME,addr=10.77.0.2/24
place-cannot = 无法使用 TUN 设备 { $name }：{ $error }
place-no-tun = 没有 /dev/net/tun：请加载模块（modprobe tun），或者把设备交给容器
place-not-permitted = 建立 TUN 设备需要 root 或 CAP_NET_ADMIN 权限，并能使用 /dev/net/tun
place-name-taken = 已经有名为 { $name } 的网络设备：请换一个名字
place-not-here = --net 用于 upper、chat、udp 和 tftp：请在这里去掉它
place-unacknowledged = 对方没有确认收到全部数据；仍然结束

## sockeye tftp

tftp-stopping = 等待正在进行的传输结束；再按一次 Ctrl-C 立即停止
tftp-size = 大小是一个数字，可以带 k、M 或 G
tftp-size-range = 太大，或者是零
tftp-ports = 应是 1 到 65535 的两个端口，例如 40000-40999
tftp-failed = { $what }：{ $error }
tftp-cannot-start = 无法启动
tftp-cannot-serve = { $error }{ $hint }
tftp-hint-root = （1024 以下的端口需要 root 权限：可以用 --listen [::]:6969）
tftp-hint-in-use = （另一个服务端占用了端口：可以用 --listen [::]:6969）
tftp-listening = TFTP 服务端开始运行，地址是 { $at }，目录是 { $dir }
tftp-interrupted = 被中断
tftp-stdin = 标准输入
tftp-stdout = 标准输出
tftp-none = 里面没有 TFTP
tftp-octets = { $octets } 字节
tftp-done = { $file }：{ $octets } 字节，用时 { $seconds } 秒（{ $rate } MB/s）

## 选项的值

value-share = 比例写成百分数如 5%，或小数如 0.05，从 0 到 1
value-time = 时间是带单位的数字，例如 10ms、250us 或 1.5s，最多 3600s
value-rate = 速率是每秒的比特数，例如 10mbit、64kbit 或 1gbit，从 1kbit 到 1000gbit

## sockeye lab

advice-lab-loses = 网络丢失太多，或者对方不在
advice-lab-no-upper = 那里回答的不是转大写的服务端
advice-lab-diagram = 请看时序图里网络做了什么
lab-upper-hello = 输入一行按回车；Q 或输入结束则关闭。您输入的时候时间静止不动。
lab-upper-mtu = MTU { $mtu } 对 IPv6 来说太小，IPv6 至少需要 1280（RFC 8200）：请用 --mtu 1280 或更大
lab-upper-cannot-listen = 服务端无法监听
lab-upper-cannot-connect = 客户端无法连接 server:8000
lab-upper-failed = 与 server:8000 的对话失败
lab-no-scenario = 没有“{ $name }”这个场景；sockeye lab list 列出全部场景

## sockeye sockets

sockets-of = { $pid } 在 { $stack } 上：sockeye { $command }
sockets-nothing = 没有自带套接字的程序在运行：请以同一用户用 --net tun: 启动一个；--net os 的套接字由 ss 显示
sockets-not-that = 进程 { $pid } 没有可以显示的套接字表：请以同一用户用 --net tun: 启动一个；--net os 的套接字由 ss 显示
control-no-directory = 没有放控制套接字的目录 (XDG_RUNTIME_DIR)：sockeye sockets 不会显示这个程序
control-cannot-offer = 无法在 { $path } 提供套接字表：{ $error }

## --net lab

lab-only-server = 实验网络里没有 { $host }：另一台主机名叫 server
lab-nobody-comes = 没有别人能连到实验网络：请运行客户端（upper connect、chat connect、udp send 或 chat、tftp get 或 put），服务端会在那里一起运行
lab-no-directory = 请指明实验网络的服务端提供哪个目录：--serve DIR
lab-needs-net = --loss、--delay、--rate、--seed 和 --serve 描述 --net lab 的网络：请加上 --net lab
lab-greeting = 你好
lab-arrived = 到达服务端，来自 { $from }：{ $text }
lab-was = 实验网络：{ $frames } 帧，其中丢失 { $lost } 帧，网络时间 { $time }

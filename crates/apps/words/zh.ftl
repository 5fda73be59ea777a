### 程序显示的中文信息。教程里的程序有的字句，照教程的写法。
### 各种语言里同名的值含义相同：$peer 是地址和端口，$text 是对方发来的内容，$error 是错误的说明。

## 操作系统的错误

error-refused = 连接被拒绝
error-reset = 对方重置了连接
error-aborted = 连接已中止
error-broken-pipe = 对方已关闭连接
error-end = 数据提前结束
error-not-connected = 尚未连接
error-timed-out = 超时
error-in-use = 地址已被占用
error-no-such-address = 本机没有这个地址
error-not-permitted = 权限不够
error-network-down = 网络已断开
error-no-network = 网络不可达
error-no-host = 没有到主机的路由
error-not-found = 文件或目录不存在
error-exists = 文件已存在
error-full = 空间已满
error-is-directory = 这是一个目录
error-invalid = 参数无效
error-numbered = { $what } (os error { $number })

## 文字

line-cannot-encode = 没有发送：{ $charset } 没有“{ $character }”这个字；请换个说法，或者用 gb18030

## 转大写

upper-prompt = 请输入要发送的信息:
upper-empty = 不能发送空消息
upper-sent = ---------客户端已经发送消息------------
upper-accepted = 客户端{ $peer }已连接
upper-received = 客户端发来的信息是{ $text }（来自{ $peer }）
upper-closed = 客户端{ $peer }已关闭连接
upper-broken = 客户端{ $peer }异常断开：{ $error }；等待下一个客户端
upper-one-line = 一行到换行为止：请一次问一行
upper-cut = 服务端在回答完整之前关闭了连接
upper-answer-too-long = 回答比这一行的大写还长
upper-answer-no-text = 回答不是 UTF-8
upper-input-no-text = 输入里有一行不是 UTF-8

## 数据报

udp-prompt = >>>
udp-received = 来自[{ $peer }]的消息: { $text }
udp-too-long = 没有发送：{ $octets } 字节超过了一个数据报的上限 { $limit } 字节；请分几次发送
udp-nobody-yet = 没有发送：还没有人发来消息，不知道回复给谁
udp-no-answer = { $peer } 没有回答：数据报可能丢了；又轮到你发言
udp-peer-left = { $peer } 说了再见；等待下一个
udp-left = 已向 { $peer } 说再见；等待下一个
udp-two-families = 目的地址和自己的地址不属于同一个地址族
udp-no-group = { $group } 不是组播地址：组播地址是 224.0.0.0/4 和 ff00::/8
udp-group-of-other-family = 组播地址 { $group } 和自己的地址不属于同一个地址族

## 聊天

chat-prompt = >>>
chat-connected = { $peer } 来了；输入 Q 或 exit 结束
chat-from-client = 来自于客户端{ $peer }的消息>>>:{ $text }
chat-from-server = { $text }
chat-empty = 不能发送空消息
chat-peer-ended = { $peer } 已经说完；我们继续
chat-closed = { $peer }：已关闭，因为{ $ending }
chat-broken = { $peer } 异常断开：{ $error }；等待下一个
chat-ending-quit = 我们说了再见
chat-ending-peer-quit = 对方说了再见
chat-ending-peer-closed = 对方关闭了连接
chat-ending-input = 输入已经结束
chat-ending-stopped = 被停止
chat-local-program = 本机的程序

## TFTP

tftp-error-not-found = 服务端没有这个文件（{ $said }）
tftp-error-access = 服务端拒绝访问（{ $said }）
tftp-error-server-full = 服务端的磁盘已满（{ $said }）
tftp-error-server = 服务端中止了传输：错误 { $code }：{ $said }
tftp-error-refused = 被拒绝：那个端口没有程序在监听
tftp-error-timed-out = 超时：服务端没有回答
tftp-error-protocol = 服务端违反了协议：{ $said }
tftp-error-name = 不认识的服务端 { $host }：{ $error }
tftp-error-network = 网络错误：{ $error }
tftp-error-full = 磁盘已满，或者文件超过了允许的大小
tftp-fault = 错误：{ $what }
tftp-fault-row = 错误：{ $what } [{ $row }]
tftp-fault-data = 像是没有操作码的第 { $block } 块：DATA 应是 00 03、块号，然后是数据（RFC 1350 第 5 节）
tftp-fault-ack = 像是没有操作码的第 { $block } 块的 ACK：ACK 有四个字节，00 04 和块号
tftp-fault-error = 像是写成两个数的错误 { $code }：ERROR 应是 00 05、错误码、说明和 NUL
tftp-fault-block-zero = 块号 0 不表示文件结束：块号从 1 开始，第一个短于块长的块是最后一块
tftp-fault-no-short-block = 最后一个 DATA 是满的：长度是块长整数倍的文件，要再发一个没有数据的 DATA 才结束
tftp-fault-after-the-end = 短块已经结束了文件，传输却还在继续
tftp-fault-answer-port = 回答来自请求的端口：服务端每次传输应使用自己的端口，即 TID（单端口模式的服务端是有意这样做的）
tftp-fault-ack-port = 发到了请求的端口：ACK 应发到 DATA 来自的端口
tftp-fault-doubled = 每收到一个重复的 ACK 就发一次第 { $block } 块：重复的 ACK 不应该回答（RFC 1123 第 4.2.3.1 节）
tftp-fault-outside = 文件名指到了目录之外：必须用错误 2 拒绝
tftp-fault-mode = 模式既不是 octet 也不是 netascii（mail 已废弃）：错误 4
tftp-fault-option = 选项 { $name } 的值不可能：错误 8
tftp-fault-too-long = 数据超过了块长 { $most }
tftp-fault-malformed = 不是 TFTP 包：{ $why }
tftp-input-empty = 文件是空的
tftp-input-no-hex = 第 { $line } 行不是十六进制数据
tftp-input-broken = 抓包文件已损坏
tftp-input-link = 不支持链路类型为 { $kind } 的抓包文件

## 房间。服务端对客户端说的话以星号开头。

rooms-joined = * { $name } 进入了 { $room }
rooms-left = * { $name } 离开了
rooms-left-for = * { $name } 去了 { $room }
rooms-renamed = * { $old } 改名为 { $name }
rooms-commands = /nick 名字、/join 房间、/who、/quit；其他内容发给同一房间的所有人
rooms-welcome = * 您是 { $name }，在 { $room }；{ $commands }
rooms-help = * { $commands }
rooms-there = * 您就在 { $room }
rooms-nick = * /nick 名字：最多 { $most } 个字母、数字、- 和 _
rooms-join = * /join 房间：最多 { $most } 个字母、数字、- 和 _
rooms-taken = * { $name } 已被使用：请换一个名字
rooms-empty = * 不能发送空消息
rooms-goodbye = * 再见
rooms-closes = * 服务端关闭
rooms-no-place = * 没有位置了：请稍后再来

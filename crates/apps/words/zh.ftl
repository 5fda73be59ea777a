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

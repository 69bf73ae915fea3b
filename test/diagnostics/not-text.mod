const a = "�"

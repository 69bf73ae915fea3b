const line = "a\nb"
const path = "C:\models\u{110000}"

// @allow unread-wait: no such code
const a = 1
// @allow unknown-name: an error
const b = 2
// @allow dead-router
const c = 3
// @allow: everything
const d = 4 // @allow unused-value:

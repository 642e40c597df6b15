/** Which connections need no seals. */
import assert from "node:assert/strict"
import { describe, test } from "node:test"
import { isSecure } from "../../transports/socket/secure.ts"

describe("a connection is secure", () => {
  test("on this machine, whatever its address is written like", () => {
    const local = ["127.0.0.1", "127.8.9.10", "::1", "::ffff:127.0.0.1", "::FFFF:127.1.2.3"]
    const ports = ["127.0.0.1:80", "[::1]:80", "[::1]", "localhost", "LOCALHOST:7001"]
    for (const host of [...local, ...ports]) assert.ok(isSecure(false, undefined, host), host)
  })

  test("not elsewhere, nor where that can't be told", () => {
    const elsewhere = [
      "10.0.0.1",
      "128.0.0.1",
      "::2",
      "::ffff:10.0.0.1",
      "fe80::1",
      "example.org:80",
    ]
    const traps = [
      "127.0.0.1.example.org",
      "localhost.example.org",
      "x127.0.0.1",
      "1::1",
      "",
      "127.0.0",
    ]
    for (const host of [...elsewhere, ...traps]) assert.ok(!isSecure(false, undefined, host), host)
  })

  test("where it is encrypted, and where the user says so or not", () => {
    for (const seal of [undefined, true, false]) assert.ok(isSecure(true, seal, "10.0.0.1"))
    assert.ok(isSecure(false, false, "10.0.0.1"))
    assert.ok(!isSecure(false, true, "127.0.0.1"))
  })
})

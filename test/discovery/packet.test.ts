import assert from "node:assert/strict"
import { describe, test } from "node:test"
import fc from "fast-check"
import { reachable } from "../../src/discovery/address.ts"
import { decode, encode, keyOf, PACKET_BYTES_MAX, type Packet } from "../../src/discovery/packet.ts"

const CLUSTER = "skein"
const KEY = keyOf("a secret")

const name = fc.string({ unit: "grapheme", maxLength: 30 })
const packets: fc.Arbitrary<Packet> = fc.record(
  {
    id: fc.stringMatching(/^[0-9a-f]{16}$/),
    stamp: fc.integer({ min: 0, max: Number.MAX_SAFE_INTEGER }),
    lastsMillis: fc.nat({ max: 0xffff_ffff }),
    node: name,
    address: name,
  },
  { noNullPrototype: true },
)
const keys = fc.constantFrom(undefined, KEY)

const sample: Packet = {
  id: "00ff00ff00ff00ff",
  stamp: 1_700_000_000_000,
  lastsMillis: 15_000,
  node: "a",
  address: "10.0.0.1:7001",
}

/** Why bytes are no packet; fails the test if they are one. */
function refusal(bytes: Uint8Array, cluster: string, key: Uint8Array | undefined): string {
  const result = decode(bytes, cluster, key)
  if (typeof result === "string") return result
  throw new assert.AssertionError({ message: `was taken for ${JSON.stringify(result)}` })
}

describe("a packet", () => {
  test("comes out as it went in, with a cookie and without", () => {
    fc.assert(
      fc.property(packets, name, keys, (packet, cluster, key) => {
        const bytes = encode(packet, cluster, key)
        assert.ok(bytes.length <= PACKET_BYTES_MAX)
        assert.deepEqual(decode(bytes, cluster, key), packet)
        assert.deepEqual(
          decode(Buffer.concat([Buffer.of(7), bytes]).subarray(1), cluster, key),
          packet,
        )
      }),
    )
  })

  test("with any bit changed, cut anywhere or made longer is none", () => {
    fc.assert(
      fc.property(packets, fc.nat(), fc.integer({ min: 1, max: 255 }), (packet, at, mask) => {
        const bytes = encode(packet, CLUSTER, KEY)
        const changed = bytes.slice()
        changed[at % bytes.length]! ^= mask
        refusal(changed, CLUSTER, KEY)
        refusal(bytes.subarray(0, at % bytes.length), CLUSTER, KEY)
        refusal(Buffer.concat([bytes, Buffer.of(mask)]), CLUSTER, KEY)
      }),
    )
  })

  test("is none for who has another cookie, or none, or is of another cluster", () => {
    fc.assert(
      fc.property(packets, fc.string(), fc.string(), (packet, cookie, other) => {
        fc.pre(cookie !== other)
        const sealed = encode(packet, CLUSTER, keyOf(cookie))
        assert.equal(refusal(sealed, CLUSTER, keyOf(other)), "forged")
        assert.equal(refusal(sealed, CLUSTER, undefined), "sealed")
        assert.equal(refusal(sealed, `${CLUSTER}2`, keyOf(cookie)), "cluster")
        assert.equal(refusal(encode(packet, CLUSTER, undefined), CLUSTER, keyOf(cookie)), "forged")
      }),
    )
  })

  test("is never found in just anything, and nothing throws", () => {
    const bytes = fc.uint8Array({ maxLength: 200 })
    const head = encode(sample, CLUSTER, undefined).subarray(0, 26)
    fc.assert(
      fc.property(bytes, fc.boolean(), keys, (rest, started, key) => {
        refusal(started ? Buffer.concat([head, rest]) : rest, CLUSTER, key)
      }),
    )
  })

  test("has what is wrong with it told by name", () => {
    const good = encode(sample, CLUSTER, KEY)
    const other = good.slice()
    other[4] = 2
    assert.equal(refusal(other, CLUSTER, KEY), "version")
    assert.equal(refusal(new Uint8Array(PACKET_BYTES_MAX + 1), CLUSTER, KEY), "oversize")
    assert.equal(refusal(new Uint8Array(0), CLUSTER, KEY), "malformed")
    const longer = Buffer.concat([encode(sample, CLUSTER, undefined), Buffer.of(0)])
    assert.equal(refusal(longer, CLUSTER, undefined), "malformed")
    const nameless = encode(sample, CLUSTER, undefined)
    nameless.set([0xff], 28)
    assert.equal(refusal(nameless, CLUSTER, undefined), "malformed")
    assert.equal(
      refusal(encode({ ...sample, stamp: Number.NaN }, CLUSTER, KEY), CLUSTER, KEY),
      "malformed",
    )
  })

  test("that would be longer than is allowed isn't made", () => {
    const room = PACKET_BYTES_MAX - encode({ ...sample, address: "" }, CLUSTER, KEY).length
    const fitting = { ...sample, address: "x".repeat(room) }
    assert.equal(encode(fitting, CLUSTER, KEY).length, PACKET_BYTES_MAX)
    const longer = { ...sample, address: "x".repeat(room + 1) }
    assert.throws(() => encode(longer, CLUSTER, KEY), /^RangeError: .* 1025 bytes/)
  })

  test("has no bytes of the cookie, and its seal is of use for nothing else", () => {
    const bytes = Buffer.from(encode(sample, CLUSTER, keyOf("a secret")))
    assert.ok(!bytes.includes("a secret"))
    assert.notDeepEqual(Buffer.from(KEY), Buffer.from("a secret"))
  })
})

test("names come out whole, whatever they begin with", () => {
  const packet = { ...sample, node: "\ufeffa" }
  assert.deepEqual(decode(encode(packet, CLUSTER, KEY), CLUSTER, KEY), packet)
})

describe("the address that a node announces", () => {
  const local = (ip: string): boolean => ip === "10.0.0.1"
  const cases: ReadonlyArray<readonly [claim: string, address: string, from: string, to: string]> =
    [
      ["is dialled as it is", "10.0.0.5:7001", "10.0.0.9", "10.0.0.5:7001"],
      ["may be a name", "a.example.org:7001", "10.0.0.9", "a.example.org:7001"],
      ["may be of another form", "somewhere", "10.0.0.9", "somewhere"],
      ["is where it came from if it means everywhere", "0.0.0.0:7001", "10.0.0.9", "10.0.0.9:7001"],
      ["is so on the same machine as well", "0.0.0.0:7001", "10.0.0.1", "10.0.0.1:7001"],
      ["is so in IPv6", "[::]:7001", "10.0.0.9", "10.0.0.9:7001"],
      ["is so written out", "[0:0:0:0:0:0:0:0]:7001", "fe80::1", "[fe80::1]:7001"],
      ["is so without a host", ":7001", "10.0.0.9", "10.0.0.9:7001"],
      [
        "is not this machine if it came from another",
        "127.0.0.1:7001",
        "10.0.0.9",
        "10.0.0.9:7001",
      ],
      ["is not this machine by name either", "localhost:7001", "10.0.0.9", "10.0.0.9:7001"],
      ["is not this machine in IPv6", "[::1]:7001", "10.0.0.9", "10.0.0.9:7001"],
      ["is this machine if it came from it", "127.0.0.1:7001", "10.0.0.1", "127.0.0.1:7001"],
      [
        "is this machine if it came from the inside",
        "localhost:7001",
        "127.0.0.1",
        "localhost:7001",
      ],
    ]
  for (const [claim, address, from, to] of cases) {
    test(`${claim}: ${address} from ${from}`, () => {
      assert.equal(reachable(address, from, local), to)
    })
  }
})

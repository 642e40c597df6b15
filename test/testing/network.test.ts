import assert from "node:assert/strict"
import { describe, test } from "node:test"
import fc from "fast-check"
import {
  keyOf,
  Network,
  type Noise,
  type Override,
  type Packet,
  quiet,
} from "../../src/testing/world/network.ts"
import { Roads, SECOND, Side } from "./roads.ts"

const letters = (count: number): ReadonlyArray<string> =>
  Array.from({ length: count }, (_, i) => String(i))

const noise: fc.Arbitrary<Noise> = fc.record({
  latencyMicros: fc.constantFrom<Noise["latencyMicros"]>([200, 800], [100, 150_000], [5, 5]),
  lossPpm: fc.constantFrom(0, 100_000, 500_000),
  dropPpm: fc.constant(0),
  duplicatePpm: fc.constant(0),
})

describe("a stream", () => {
  test("brings what was sent in order, in both directions, whatever the latency and the loss", () => {
    fc.assert(
      fc.property(noise, fc.nat(), fc.array(fc.nat({ max: 300_000 })), (noise, seed, waits) => {
        const roads = new Roads({ seed, noise })
        const { dialled, accepted } = roads.connect()
        waits.forEach((micros, i) => {
          ;(i % 3 === 0 ? accepted : dialled).send(`${i}`)
          roads.pass(micros / SECOND)
        })
        roads.pass(200)
        const sent = letters(waits.length)
        assert.deepEqual(
          accepted.texts,
          sent.filter((_, i) => i % 3 !== 0),
        )
        assert.deepEqual(
          dialled.texts,
          sent.filter((_, i) => i % 3 === 0),
        )
      }),
      { numRuns: 30 },
    )
  })

  test("takes a latency of the noise for each, and so many times that on slow hosts", () => {
    const roads = new Roads({ noise: { ...quiet, latencyMicros: [1_000, 2_000] } })
    const { dialled, accepted } = roads.connect()
    const start = roads.world.now
    const latencies = letters(100).map((text) => {
      const sent = roads.world.now
      dialled.send(text)
      roads.pass(0.1)
      return (accepted.came.at(-1)?.[1] ?? 0) * SECOND - sent
    })
    for (const micros of latencies) assert.ok(micros >= 1_000 - 1e-6 && micros <= 2_000 + 1e-6)
    assert.ok(new Set(latencies.map(Math.round)).size > 50)
    assert.equal(roads.world.now, start + 10 * SECOND)
    // What is sent, and what is got.
    for (const slow of [0, 1]) {
      roads.host(slow).slowness = 100
      const sent = roads.world.now
      dialled.send("slow")
      roads.pass(1)
      const micros = (accepted.came.at(-1)?.[1] ?? 0) * SECOND - sent
      assert.ok(micros >= 100_000 && micros <= 200_000, `${micros}`)
      roads.host(slow).slowness = 1
    }
  })

  test("keeps what comes for a receiver that isn't there yet", () => {
    const roads = new Roads()
    const { dialled, accepted } = roads.connect()
    accepted.end.receive(undefined)
    dialled.send("one", "two")
    roads.pass(1)
    assert.equal(accepted.came.length, 0)
    assert.equal(dialled.end.unread, 6)
    accepted.attach()
    assert.equal(accepted.came.length, 0, "it was told before receive returned")
    roads.pass(1)
    assert.deepEqual(accepted.texts, ["one", "two"])
    assert.equal(dialled.end.unread, 0)
  })

  test("tells a sender to wait from so many bytes on, and to go on when they were read", () => {
    const roads = new Roads()
    const { dialled, accepted } = roads.connect()
    roads.network.queueBytes = 10
    accepted.end.receive(undefined)
    assert.equal(dialled.send("123456789"), true)
    assert.equal(dialled.send("0"), false)
    assert.equal(dialled.send("more"), false)
    roads.pass(10)
    assert.equal(dialled.drains, 0)
    accepted.attach()
    roads.pass(1)
    assert.equal(dialled.drains, 1)
    assert.deepEqual(accepted.texts, ["123456789", "0", "more"])
    assert.equal(dialled.send("x"), true)
    accepted.send("y")
    roads.pass(1)
    assert.equal(dialled.drains, 1)
  })

  test("doesn't tell a sender to go on before everything was read", () => {
    const roads = new Roads()
    const { dialled, accepted } = roads.connect()
    roads.network.queueBytes = 2
    accepted.end.receive({
      data: () => accepted.end.receive(undefined),
      drain: () => {},
      close: () => {},
    })
    dialled.send("a", "b")
    roads.pass(1)
    assert.deepEqual([dialled.end.unread, dialled.drains], [1, 0])
    accepted.attach()
    roads.pass(1)
    assert.deepEqual([dialled.end.unread, dialled.drains], [0, 1])
  })
})

describe("behind a wall", () => {
  test("what was sent comes by the timer that sends it again, which doubles", () => {
    const heals = [
      [0.1, 0.2],
      [0.3, 0.6],
      [1.3, 1.4],
      [1.5, 3],
      [60, 102.2],
      [110, 204.6],
      [250, 324.6],
    ] as const
    for (const [heal, arrival] of heals) {
      const roads = new Roads()
      const { dialled, accepted } = roads.connect()
      const start = roads.world.now / SECOND
      const end = roads.network.wall(0, 1, "cut")
      assert.equal(roads.network.open(0, 1), false)
      dialled.send("one")
      accepted.send("the way back is open")
      roads.pass(heal)
      assert.equal(dialled.texts.length, 1)
      assert.equal(accepted.came.length, 0)
      assert.deepEqual(roads.traced, ["hold wall"])
      end()
      assert.equal(roads.network.open(0, 1), true)
      roads.pass(arrival - heal - 0.001)
      assert.equal(accepted.came.length, 0)
      roads.pass(0.002)
      assert.deepEqual(accepted.texts, ["one"])
      assert.ok(Math.abs((accepted.came[0]?.[1] ?? 0) - start - arrival) < 1e-6)
    }
  })

  test("everything else waits for what was held first", () => {
    const roads = new Roads()
    const { dialled, accepted } = roads.connect()
    const end = roads.network.wall(0, 1, "cut")
    dialled.send("one")
    roads.pass(1)
    end()
    dialled.send("two")
    roads.pass(0.2)
    assert.equal(accepted.came.length, 0)
    roads.pass(1)
    assert.deepEqual(accepted.texts, ["one", "two"])
    assert.equal(accepted.came[0]?.[1], accepted.came[1]?.[1])
  })

  test("what a clog held comes at once and all together", () => {
    const roads = new Roads()
    const { dialled, accepted } = roads.connect()
    const end = roads.network.wall(0, 1, "clog")
    for (const text of letters(5)) {
      dialled.send(text)
      roads.pass(1)
    }
    const now = roads.world.now / SECOND
    end()
    roads.pass(1)
    assert.deepEqual(
      accepted.came,
      letters(5).map((text) => [text, now]),
    )
  })

  test("it stays shut until the last of several walls is gone, each of which ends once", () => {
    const roads = new Roads()
    const { dialled, accepted } = roads.connect()
    const ends = [
      roads.network.wall(0, 1, "cut"),
      roads.network.wall(0, 1, "clog"),
      roads.network.wall(0, 1, "cut"),
    ] as const
    dialled.send("one")
    ends[0]()
    ends[0]()
    ends[0]()
    roads.pass(10)
    ends[2]()
    roads.pass(10)
    assert.equal(accepted.came.length, 0)
    assert.equal(roads.network.open(0, 1), false)
    ends[1]()
    roads.pass(1)
    assert.deepEqual(accepted.texts, ["one"])
  })

  test("something held that meets the next wall waits there", () => {
    const roads = new Roads()
    const { dialled, accepted } = roads.connect()
    const first = roads.network.wall(0, 1, "cut")
    dialled.send("one")
    roads.pass(1)
    first()
    const second = roads.network.wall(0, 1, "cut")
    roads.pass(10)
    assert.equal(accepted.came.length, 0)
    second()
    roads.pass(10)
    assert.deepEqual(accepted.texts, ["one"])
  })

  test("a connection that got nothing through for a quarter of an hour is given up", () => {
    const roads = new Roads()
    const { dialled, accepted } = roads.connect()
    const end = roads.network.wall(0, 1, "cut")
    dialled.send("one")
    roads.pass(16 * 60)
    end()
    roads.pass(200)
    assert.deepEqual([dialled.closed, accepted.closed], ["reset", "reset"])
    assert.equal(accepted.came.length, 0)
  })

  test("dials get through once it is gone", () => {
    const roads = new Roads()
    const end = roads.network.wall(0, 1, "cut")
    let answers = 0
    roads.network.dial(roads.host(0), "b", () => void answers++)
    roads.pass(10)
    assert.deepEqual([answers, roads.accepted.length], [0, 0])
    end()
    roads.pass(10)
    assert.deepEqual([answers, roads.accepted.length], [1, 1])
  })
})

describe("noise", () => {
  test("that loses makes a packet late by the timer, with all behind it, and loses none", () => {
    const lates = new Set<number>()
    for (let seed = 0; seed < 40; seed++) {
      const roads = new Roads({ seed, noise: { ...quiet, lossPpm: 500_000 } })
      const { dialled, accepted } = roads.connect()
      const start = roads.world.now / SECOND
      dialled.send("one", "two", "three")
      roads.pass(30)
      assert.deepEqual(accepted.texts, ["one", "two", "three"])
      lates.add(Math.round(((accepted.came[0]?.[1] ?? 0) - start) * 10) / 10)
    }
    for (const late of lates) assert.ok([0, 0.2, 0.6, 1.4, 3, 6.2, 12.6].includes(late), `${late}`)
    assert.ok(lates.has(0) && lates.has(0.2) && lates.has(0.6))
  })

  test("that drops loses for good, and what comes after comes", () => {
    const roads = new Roads({ noise: { ...quiet, dropPpm: 300_000 } })
    const { dialled, accepted } = roads.connect()
    dialled.send(...letters(100))
    roads.pass(10)
    assert.ok(accepted.came.length > 50 && accepted.came.length < 90, `${accepted.came.length}`)
    assert.equal(roads.traced.length, 100 - accepted.came.length)
    assert.equal(roads.traced[0], "drop lost")
    const order = accepted.texts.map(Number)
    assert.deepEqual(
      order,
      order.toSorted((a, b) => a - b),
    )
  })

  test("that doubles brings the same twice", () => {
    const roads = new Roads({ noise: { ...quiet, duplicatePpm: 1_000_000 } })
    const { dialled, accepted } = roads.connect()
    dialled.send("one", "two")
    roads.pass(1)
    assert.deepEqual(accepted.texts, ["one", "one", "two", "two"])
    assert.equal(dialled.end.unread, 0)
  })

  /** What came of a conversation, and what the noise had decided. */
  function talk(
    seed: number,
    noise: Noise,
    overrides: ReadonlyArray<Override>,
    also = false,
  ): { came: ReadonlyArray<unknown>; decided: ReadonlyArray<Override>; hash: string } {
    const roads = new Roads({ seed })
    const one = roads.connect(0, 1)
    const other = roads.connect(2, 1)
    const decided: Array<Override> = []
    roads.network.decided = decided
    roads.network.noise = noise
    roads.network.overrides = new Map(overrides.map((each) => [keyOf(each), each.fate]))
    for (const text of letters(60)) {
      one.dialled.send(text)
      one.accepted.send(text)
      if (also) other.dialled.send(text)
      roads.pass(0.05)
    }
    roads.pass(60)
    const came = [one.accepted.came, one.dialled.came]
    return { came, decided, hash: roads.world.trace.hash }
  }

  const loud: Noise = { ...quiet, lossPpm: 100_000, dropPpm: 50_000, duplicatePpm: 50_000 }

  test("decides the same fates when they are given as overrides in a run without it", () => {
    fc.assert(
      fc.property(fc.nat(), (seed) => {
        const { decided, came, hash } = talk(seed, loud, [])
        const frozen = talk(seed, quiet, decided)
        assert.ok(decided.length > 5)
        assert.deepEqual(frozen.came, came)
        assert.deepEqual(frozen.decided, [])
        assert.equal(frozen.hash, hash)
        assert.notDeepEqual(talk(seed, quiet, []).came, came)
      }),
      { numRuns: 10 },
    )
  })

  test("decides the fate of a packet by itself, whatever else travels", () => {
    fc.assert(
      fc.property(fc.nat(), (seed) => {
        const [alone, crowd] = [talk(seed, loud, []), talk(seed, loud, [], true)]
        const mine = ({ from, to }: Override): boolean => from !== 2 && to !== 2
        assert.deepEqual(crowd.decided.filter(mine), alone.decided)
        assert.ok(crowd.decided.length > alone.decided.length)
        assert.deepEqual(crowd.came, alone.came)
      }),
      { numRuns: 10 },
    )
  })

  test("decides nothing anew that an override has decided", () => {
    const late = { from: 0, to: 1, n: 1, fate: { lateMicros: 5 * SECOND } }
    const { came, decided } = talk(1, { ...quiet, dropPpm: 1_000_000 }, [late])
    assert.deepEqual(
      decided.filter(({ from, n }) => from === 0 && n === 1),
      [],
    )
    assert.equal((came[0] as Side["came"]).length, 1)
  })
})

describe("rules", () => {
  test("see every packet, add their delays up, and else the first that objects decides", () => {
    const roads = new Roads()
    const { dialled, accepted } = roads.connect()
    const seen: Array<Packet> = []
    const ends = [
      roads.network.rule((packet) => {
        seen.push(packet)
        return { delayMicros: SECOND }
      }),
      roads.network.rule(() => ({ delayMicros: 2 * SECOND })),
      roads.network.rule(({ what }) => (what() === "two" ? "drop" : "pass")),
      roads.network.rule(({ what }) => (what() === "two" ? "duplicate" : "pass")),
    ]
    const start = roads.world.now / SECOND
    dialled.send("one", "two")
    accepted.send("three")
    roads.pass(10)
    assert.deepEqual(accepted.texts, ["one"])
    assert.equal(Math.floor((accepted.came[0]?.[1] ?? 0) - start), 3)
    assert.deepEqual(
      seen.map(({ from, to, n, bytes, what }) => [from, to, n, bytes, what()]),
      [
        [0, 1, 1, 3, "one"],
        [0, 1, 2, 3, "two"],
        [1, 0, 1, 5, "three"],
      ],
    )
    for (const end of ends) end()
    dialled.send("two")
    roads.pass(1)
    assert.deepEqual(accepted.texts, ["one", "two"])
    assert.equal(seen.length, 3)
  })

  test("leave their mark on the hash of the run: by each packet and the time it comes at", () => {
    const hashes = ([0, 1, 2, 3, 4] as const).map((packets) => {
      const roads = new Roads()
      const { dialled } = roads.connect()
      const verdicts = ["drop", "drop", "drop", "pass", { delayMicros: 1 }] as const
      roads.network.rule(() => verdicts[packets])
      dialled.send(...letters(Math.min(packets, 2)))
      roads.pass(1)
      return roads.world.trace.hash
    })
    assert.equal(new Set(hashes).size, 5)
  })

  test("that garble change the payload where it can be garbled, and else cost the connection", () => {
    const roads = new Roads()
    const { dialled, accepted } = roads.connect()
    const end = roads.network.rule(() => "corrupt")
    assert.equal(dialled.send("one"), false)
    roads.pass(1)
    assert.deepEqual([dialled.closed, accepted.closed], ["reset", "reset"])
    end()

    const options = { copy: (text: string) => text, corrupt: (text: string) => text.toUpperCase() }
    const other = new Network<string>(roads.world, options)
    other.hosts.push(...roads.network.hosts)
    other.listen(roads.host(1), "b", (end) => void roads.accepted.push(new Side(end, roads.world)))
    let dialler: Side | undefined
    other.dial(roads.host(0), "b", (end) => {
      dialler = end === "refused" ? undefined : new Side(end, roads.world)
    })
    roads.pass(1)
    other.rule(({ n }) => (n === 1 ? "corrupt" : "pass"))
    dialler?.send("one", "two")
    roads.pass(1)
    assert.deepEqual(roads.accepted.at(-1)?.texts, ["ONE", "two"])
  })
})

import assert from "node:assert/strict"
import { describe, test } from "node:test"
import { quiet } from "../../src/testing/world/network.ts"
import { type Pair, Roads, Side } from "./roads.ts"

/** What each side was told of the end. */
function ends({ dialled, accepted }: Pair): ReadonlyArray<string | undefined> {
  return [dialled.closed, accepted.closed]
}

describe("closing", () => {
  test("comes after what was sent, also after what is late, and ends both directions", () => {
    const roads = new Roads({ noise: { ...quiet, lossPpm: 400_000 } })
    const pair = roads.connect()
    pair.dialled.send("one", "two", "three")
    pair.dialled.end.close()
    assert.equal(pair.dialled.send("four"), false)
    pair.accepted.send("to nobody")
    assert.deepEqual(ends(pair), [undefined, undefined])
    roads.pass(60)
    assert.deepEqual(pair.accepted.texts, ["one", "two", "three"])
    assert.equal(pair.dialled.came.length, 0)
    assert.deepEqual(ends(pair), ["ended", "ended"])
    assert.equal(pair.accepted.send("five"), false)
    assert.equal(roads.network.connections.size, 0)
  })

  test("at the same time on both sides is fine", () => {
    const roads = new Roads()
    const pair = roads.connect()
    pair.dialled.end.close()
    pair.accepted.end.close()
    roads.pass(1)
    assert.deepEqual(ends(pair), ["ended", "ended"])
    assert.equal(roads.network.connections.size, 0)
  })

  test("waits at a wall as everything does, while who closed is done", () => {
    const roads = new Roads()
    const pair = roads.connect()
    const end = roads.network.wall(0, 1, "cut")
    pair.dialled.send("last words")
    pair.dialled.end.close()
    roads.pass(10)
    assert.deepEqual(ends(pair), ["ended", undefined])
    assert.equal(roads.network.connections.size, 1)
    end()
    roads.pass(10)
    assert.deepEqual(ends(pair), ["ended", "ended"])
    assert.equal(roads.network.connections.size, 0)
    assert.deepEqual(pair.accepted.texts, ["last words"])
  })

  test("in a handler leaves what else has come unread", () => {
    const roads = new Roads()
    const pair = roads.connect()
    const { end } = pair.accepted
    const came: Array<string> = []
    const closed: Array<string> = []
    end.receive({
      data: (text) => {
        came.push(text)
        end.close()
      },
      drain: () => {},
      close: (reason) => void closed.push(reason),
    })
    pair.dialled.send("one", "two")
    roads.pass(1)
    assert.deepEqual([came, closed, pair.dialled.closed], [["one"], ["ended"], "ended"])
  })
})

describe("destroying", () => {
  test("is told as destroyed here and as a reset there, once", () => {
    const roads = new Roads()
    const pair = roads.connect()
    pair.accepted.send("never read")
    pair.dialled.end.destroy()
    pair.dialled.end.destroy()
    pair.dialled.end.close()
    roads.pass(1)
    assert.deepEqual(ends(pair), ["destroyed", "reset"])
    assert.equal(pair.dialled.came.length, 0)
    assert.equal(roads.network.connections.size, 0)
  })

  test("loses what came there and wasn't read", () => {
    const roads = new Roads()
    const pair = roads.connect()
    pair.accepted.end.receive(undefined)
    pair.dialled.send("one")
    roads.pass(1)
    pair.dialled.end.destroy()
    roads.pass(1)
    pair.accepted.attach()
    roads.pass(1)
    assert.equal(pair.accepted.came.length, 0)
    assert.equal(pair.accepted.closed, "reset")
  })

  test("turns a close that isn't told yet into a destruction, and none that is", () => {
    const roads = new Roads()
    const one = roads.connect()
    one.dialled.end.close()
    one.dialled.end.destroy()
    const other = roads.connect()
    other.dialled.end.close()
    roads.pass(1)
    other.dialled.end.destroy()
    roads.pass(1)
    assert.deepEqual([one.dialled.closed, other.dialled.closed], ["destroyed", "ended"])
  })
})

describe("a lost connection", () => {
  test("is told to both sides, and what is under way is lost with it", () => {
    const roads = new Roads()
    const pair = roads.connect()
    pair.dialled.send("one")
    pair.accepted.send("two")
    for (const connection of roads.network.between(roads.host(0), roads.host(1))) connection.reset()
    assert.equal(pair.dialled.send("three"), false)
    roads.pass(1)
    assert.deepEqual(ends(pair), ["reset", "reset"])
    assert.equal(pair.dialled.came.length + pair.accepted.came.length, 0)
    assert.equal(roads.network.connections.size, 0)
  })

  test("is one between these two hosts, or of this one", () => {
    const roads = new Roads()
    roads.connect(0, 1)
    roads.connect(1, 0)
    roads.connect(1, 2)
    const count = (a: number, b?: number): number =>
      roads.network.between(roads.host(a), b === undefined ? undefined : roads.host(b)).length
    assert.deepEqual([count(0, 1), count(1, 0), count(0, 2), count(1), count(0)], [2, 2, 0, 3, 2])
    assert.equal(count(1, 1), 0)
  })

  test("that is half open carries nothing, and nobody is told; new ones work", () => {
    const roads = new Roads()
    const pair = roads.connect()
    pair.dialled.send("under way")
    for (const connection of roads.network.connections) connection.dead = true
    assert.equal(pair.dialled.send("one"), true)
    pair.accepted.send("two")
    roads.pass(3_600)
    assert.deepEqual(ends(pair), [undefined, undefined])
    assert.equal(pair.dialled.came.length + pair.accepted.came.length, 0)
    assert.deepEqual(roads.traced, ["drop half-open", "drop half-open"])
    pair.dialled.end.close()
    roads.pass(1)
    assert.deepEqual(ends(pair), ["ended", undefined])
    const next = roads.connect()
    next.dialled.send("three")
    roads.pass(1)
    assert.deepEqual(next.accepted.texts, ["three"])
  })
})

describe("a program that dies", () => {
  test("hangs up after what it had sent, and nothing of what it hadn't read matters", () => {
    const roads = new Roads()
    const pair = roads.connect()
    pair.accepted.send("one")
    pair.dialled.send("two")
    roads.crash(roads.host(1))
    roads.pass(1)
    assert.deepEqual(pair.dialled.texts, ["one"])
    assert.deepEqual(ends(pair), ["reset", undefined])
    assert.equal(pair.accepted.came.length, 0)
    assert.equal(roads.network.connections.size, 0)
  })

  test("with its machine says nothing, not even when it is spoken to", () => {
    const roads = new Roads()
    const pair = roads.connect()
    pair.accepted.send("lost with it")
    roads.crash(roads.host(1), true)
    for (let i = 0; i < 5; i++) {
      assert.equal(pair.dialled.send("anybody?"), true)
      roads.pass(60)
    }
    assert.deepEqual(ends(pair), [undefined, undefined])
    assert.equal(pair.dialled.came.length, 0)
    pair.dialled.end.close()
    roads.pass(60)
    assert.equal(roads.network.connections.size, 0)
  })

  test("with its machine, and is back: the next word to the old one is answered with a reset", () => {
    const roads = new Roads()
    const pair = roads.connect()
    roads.crash(roads.host(1), true)
    roads.pass(60)
    roads.start(roads.host(1))
    roads.pass(60)
    assert.deepEqual(ends(pair), [undefined, undefined])
    pair.dialled.send("still there?")
    roads.pass(1)
    assert.deepEqual(ends(pair), ["reset", undefined])
    assert.equal(roads.accepted.length, 1)
    assert.equal(roads.accepted[0]?.came.length, 0)
    assert.equal(roads.network.connections.size, 0)
  })

  test("gives nothing of its connections to the one that is started after it", () => {
    const roads = new Roads()
    const pair = roads.connect()
    const wall = roads.network.wall(0, 1, "cut")
    pair.dialled.send("for the old one")
    roads.crash(roads.host(1))
    roads.start(roads.host(1))
    wall()
    roads.pass(10)
    assert.equal(pair.accepted.came.length, 0)
    assert.equal(pair.dialled.closed, "reset")
  })

  test("while it stands still keeps its connections, and gets what came once it goes on", () => {
    const roads = new Roads()
    const pair = roads.connect()
    roads.host(1).pause()
    pair.dialled.send("one")
    pair.dialled.end.close()
    roads.pass(60)
    assert.equal(pair.accepted.came.length, 0)
    assert.deepEqual(ends(pair), ["ended", undefined])
    roads.host(1).resume()
    roads.pass(1)
    assert.deepEqual(pair.accepted.texts, ["one"])
    assert.deepEqual(ends(pair), ["ended", "ended"])
  })
})

describe("a dial", () => {
  test("is refused where nobody listens, where no host is, and by a host whose program is gone", () => {
    const roads = new Roads()
    assert.equal(roads.dial(0, "nowhere"), "refused")
    const stop = roads.network.listen(roads.host(1), "b", () => {})
    assert.equal(roads.network.listens("b"), true)
    stop()
    assert.equal(roads.network.listens("b"), false)
    assert.equal(roads.dial(0, 1), "refused")
    roads.network.listen(roads.host(1), "b", () => {})
    stop()
    assert.equal(roads.network.listens("b"), true, "the next one's listening ended with the first")
    roads.crash(roads.host(2))
    assert.equal(roads.network.listens("c"), false)
    assert.equal(roads.dial(0, 2), "refused")
    assert.ok(roads.dial(0, 0) instanceof Side)
  })

  test("stays without any answer where the machine is gone", () => {
    const roads = new Roads()
    roads.crash(roads.host(1), true)
    assert.equal(roads.dial(0, 1, 3_600), undefined)
  })

  test("is refused to who is stranded, who can be dialled all the same, until the last end of that", () => {
    const roads = new Roads()
    const ends = [roads.network.strand(roads.host(0)), roads.network.strand(roads.host(0))] as const
    assert.equal(roads.dial(0, 1), "refused")
    assert.ok(roads.dial(1, 0) instanceof Side)
    ends[0]()
    ends[0]()
    assert.equal(roads.dial(0, 1), "refused")
    ends[1]()
    assert.ok(roads.dial(0, 1) instanceof Side)
  })

  test("is answered only to the program that dialled", () => {
    for (const restarted of [false, true]) {
      const roads = new Roads()
      const answers: Array<unknown> = []
      for (const address of ["b", "nowhere"])
        roads.network.dial(roads.host(0), address, (answer) => void answers.push(answer))
      roads.crash(roads.host(0))
      if (restarted) roads.start(roads.host(0))
      roads.pass(10)
      assert.deepEqual([answers.length, roads.accepted.length], [0, 0])
      assert.equal(roads.network.connections.size, 0)
    }
  })

  test("whose dialler dies under way leaves nothing behind at who accepted it", () => {
    const roads = new Roads()
    // The answer doesn't get back.
    const end = roads.network.wall(1, 0, "cut")
    roads.network.dial(roads.host(0), "b", () => {
      throw new Error("answered")
    })
    roads.pass(1)
    assert.equal(roads.accepted.length, 1)
    roads.crash(roads.host(0))
    roads.pass(1)
    end()
    roads.pass(10)
    assert.equal(roads.accepted[0]?.closed, "reset")
    assert.equal(roads.network.connections.size, 0)
  })

  test("gets a connection from a machine whose program stands still", () => {
    const roads = new Roads()
    roads.host(1).pause()
    const dialled = roads.dial(0, 1)
    assert.ok(dialled instanceof Side)
    dialled.send("one")
    roads.pass(10)
    assert.equal(roads.accepted.length, 0)
    roads.host(1).resume()
    roads.pass(1)
    assert.deepEqual(roads.accepted[0]?.texts, ["one"])
  })
})

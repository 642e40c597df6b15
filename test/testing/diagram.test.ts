/** The picture of a failed run: every claim is read back from its markup. The rest is in page.test.ts. */
import assert from "node:assert/strict"
import { describe, test } from "node:test"
import { html } from "../../src/testing/picture/diagram.ts"
import { select } from "../../src/testing/picture/selection.ts"
import type { TraceEvent } from "../../src/testing/world/trace.ts"
import { numbers, type Of, Page } from "./page.ts"
import { long, Script, short } from "./traces.ts"

describe("the picture of a run", () => {
  test("every event that is shown is drawn once, and how many are shown is said", () => {
    for (const trace of [short(), long()]) {
      const page = new Page(trace)
      const { shown } = select(trace, 2_000)
      assert.deepEqual(
        [...page.groups.keys()].sort((a, b) => a - b),
        shown.map(({ i }) => i),
      )
      const counts = /([\d,]+) events of ([\d,]+) events are shown/.exec(page.text) ?? []
      assert.equal(Number(counts[1]?.replace(",", "")), shown.length)
      assert.equal(Number(counts[2]?.replace(",", "")), trace.count)
    }
  })

  test("a delivery is an arrow from the sender's column and row down to the receiver's", () => {
    const page = new Page(short())
    const held = new Set(page.events("hold").map(({ packet }) => packet))
    const received = page.events("receive").filter(({ packet }) => !held.has(packet))
    assert.ok(received.length > 8)
    for (const event of received) {
      const send = page.send(event.packet)
      const [sendX, sendY] = page.numbers(send, "fill")
      assert.equal(sendX, page.x(send.from))
      assert.deepEqual(page.numbers(event, "stroke").slice(0, 2), [sendX, sendY])
      const [x = 0, y = 0] = page.numbers(event, "fill")
      assert.ok(Math.abs(x - page.x(event.node)) <= 4, `${x} is at ${page.x(event.node)}`)
      assert.ok(y > (sendY ?? 0))
    }
  })

  test("times run down", () => {
    for (const trace of [short(), long()]) {
      const page = new Page(trace)
      const axis = [...page.text.matchAll(/<text class="time"[^>]* y="(\d+)">([\d.]+) s/g)]
      assert.ok(axis.length > 20)
      axis.slice(1).forEach(([, y, time], k) => {
        assert.ok(Number(y) > Number(axis[k]?.[1]))
        assert.ok(Number(time) > Number(axis[k]?.[2]))
      })
    }
  })

  test("the cross of a packet that was cut off stands at the wall between the two columns", () => {
    for (const trace of [short(), long()]) {
      const page = new Page(trace)
      const wall = numbers(/<path class="wall" d="([^"]*)"/.exec(page.text)?.[1] ?? "")[0]
      const drops = page.events("drop").filter(({ why }) => why === "wall")
      assert.ok(drops.length > 1)
      for (const drop of drops) {
        const { from, to } = page.send(drop.packet)
        const [left = 0, , right = 0] = page.numbers(drop, "mark")
        const middle = (left + right) / 2
        const sides = [page.x(from), page.x(to)].sort((a, b) => a - b)
        assert.ok((sides[0] ?? 0) < middle && middle < (sides[1] ?? 0))
        assert.equal(middle, wall)
      }
    }
  })

  test("a packet that merely got lost ends half-way between two columns", () => {
    const run = new Script("loss", ["a", "b", "c", "d"], 1)
    run.drop(2, run.send(1, "a", "d", "Ops"), "lost")
    run.drop(4, run.send(3, "d", "b", "Ops"), "lost")
    const page = new Page(run.trace)
    const ends = page.events("drop").map((drop) => {
      const [left = 0, , right = 0] = page.numbers(drop, "mark")
      return (left + right) / 2
    })
    assert.deepEqual(ends, [(page.x(1) + page.x(2)) / 2, (page.x(2) + page.x(3)) / 2])
  })

  test("a packet to a node that is gone ends before its column, told or not", () => {
    const run = new Script("gone", ["a", "b", "c"], 1)
    run.life(0, "b", "start")
    run.life(5, "b", "crash")
    run.drop(8, run.send(7, "a", "b", "Ops"), "dead")
    const silent = run.send(9, "c", "b", "Ops")
    const page = new Page(run.trace)
    const drop = page.events("drop")[0] as TraceEvent
    const [left = 0, , right = 0] = page.numbers(drop, "mark")
    assert.equal((left + right) / 2, page.x(1) - 13)
    const [one = 0, , other = 0] = page.numbers(page.send(silent), "mark")
    assert.equal((one + other) / 2, page.x(1) + 13)
    assert.match(page.body(page.send(silent)), /didn&#39;t arrive/)
  })

  test("a packet that was held up goes on from where it waited", () => {
    const page = new Page(short())
    const hold = page.events("hold")[0] as Of<"hold">
    const { from, to } = page.send(hold.packet)
    const [, , x = 0, y = 0] = page.numbers(hold, "stroke")
    assert.ok(page.x(from) < x && x < page.x(to))
    const receive = page.events("receive").find(({ packet }) => packet === hold.packet)
    assert.deepEqual(page.numbers(receive as TraceEvent, "stroke wait").slice(0, 2), [x, y])
    const onward = page.body(receive as TraceEvent).split('class="stroke wait"')[1] ?? ""
    const [, , , turnX, turnY = 0] = numbers(onward.replace(/class="\w+"/g, ""))
    assert.equal(turnX, x)
    assert.ok(turnY > y)
    assert.ok(Math.abs((page.numbers(receive as TraceEvent, "fill")[0] ?? 0) - page.x(to)) <= 4)
  })

  test("an arrow goes down even when its packet took no time", () => {
    const run = new Script("at once", ["a", "b"], 1)
    run.deliver(1, 1, "a", "b", "Ops")
    const page = new Page(run.trace)
    const [, sent = 0] = page.numbers(page.send(0), "fill")
    const [, received = 0] = page.numbers(page.events("receive")[0] as TraceEvent, "fill")
    assert.ok(received > sent)
  })
})

describe("the state of the world in the picture", () => {
  test("the nodes of a partition's side are neighbours, and the smaller side is tinted", () => {
    const page = new Page(long())
    const order = [...page.trace.header.nodes.keys()].sort((a, b) => page.x(a) - page.x(b))
    assert.equal(order.map((node) => page.trace.header.nodes[node]).join(""), "behacdfgi")
    const band = /<path class="band cut" d="([^"]*)"/.exec(page.text)?.[1] ?? ""
    const strips = band
      .split("z")
      .filter((strip) => strip !== "")
      .map(numbers)
    const middles = strips.map(([x = 0, , width = 0]) => x + width / 2)
    assert.deepEqual(
      middles,
      [1, 4, 7].map((node) => page.x(node)),
    )
  })

  test("a fault is tinted from its begin to its end, in the columns of its nodes alone", () => {
    const page = new Page(long())
    const bands = [...page.text.matchAll(/<path class="band ill" d="([^"]*)"/g)].map(
      ([, d]) => d ?? "",
    )
    const clog = bands
      .map((d) => d.split("z").filter((strip) => strip !== ""))
      .find(({ length }) => length === 2)
    const strips = (clog ?? []).map(numbers)
    assert.deepEqual(
      strips.map(([x = 0, , width = 0]) => x + width / 2),
      [page.x(2), page.x(5)],
    )
    const [begin, end] = page.events("fault").filter(({ what }) => what.startsWith("clog"))
    const row = (event: TraceEvent | undefined): number =>
      Number(/<text [^>]*y="(\d+)"/.exec(page.body(event as TraceEvent))?.[1]) - 4
    for (const [x = 0, top = 0, , bottom = 0, back] of strips) {
      const middle = strips[0]?.[0] === x ? page.x(2) : page.x(5)
      assert.equal(x, middle - (page.x(5) - page.x(3)) / 2)
      assert.equal(back, 2 * (x - middle))
      assert.equal(top, row(begin) - 10)
      assert.equal(bottom, row(end))
    }
  })

  test("for a fault that cuts nobody off, no wall is drawn", () => {
    const run = new Script("words", ["a", "b", "c"], 1)
    run.fault(1, "begin", 0, "slow a factor 10", "a")
    const { text } = new Page(run.trace)
    assert.ok(text.includes('<path class="band ill"'))
    assert.ok(!text.includes('class="wall"'))
  })

  test("what befalls the whole network is a strip aside, what takes no time ends at once", () => {
    const run = new Script("noise", ["a", "b"], 1)
    run.fault(1_000, "begin", 0, "loss all links ppm 5", "a b")
    run.fault(2_000, "begin", 1, "restart a", "a")
    run.note(3_000, "a", "Late", {})
    const { text } = new Page(run.trace)
    const [x = 0, , width = 0] = numbers(/<path class="band all" d="([^"]*)"/.exec(text)?.[1] ?? "")
    assert.ok(x + width < new Page(run.trace).x(0) - 20)
    const band = numbers(/<path class="band ill" d="([^"]*)"/.exec(text)?.[1] ?? "")
    assert.equal((band[3] ?? 0) - (band[1] ?? 0), 10)
    assert.match(text, /<td>1\.000 s – never ended<\/td>/)
    assert.match(text, /<td>2\.000 s<\/td>/)
  })

  test("after a silence there is a wider gap, and how long it was", () => {
    const page = new Page(short())
    assert.ok(page.text.includes("⋮ 969 ms</text>"))
    const axis = [...page.text.matchAll(/<text class="time"[^>]* y="(\d+)">([\d.]+) s/g)]
    const y = (time: string): number => Number(axis.find(([, , at]) => at === time)?.[1])
    assert.equal(y("1.000") - y("0.031") - 20, 42)
    assert.equal(y("1.092") - y("1.080"), 20)
  })

  test("a node that crashed is greyed until it starts again, a paused one hatched", () => {
    const page = new Page(long())
    const row = (node: number, what: string): number => {
      const life = page.events("life").find((event) => event.node === node && event.what === what)
      const ys = numbers(/ d="M([^"]*)"/.exec(page.body(life as TraceEvent))?.[1] ?? "")
      return what === "start" ? (ys[1] ?? 0) + 5 : what === "crash" ? (ys[1] ?? 0) + 6 : 0
    }
    const down = /<rect class="down" x="([\d.]+)" y="([\d.]+)" width="20" height="([\d.]+)"/.exec(
      page.text,
    )
    assert.equal(Number(down?.[1]) + 10, page.x(6))
    assert.equal(Number(down?.[2]), row(6, "crash"))
    const starts = page.events("life").filter(({ node, what }) => node === 6 && what === "start")
    assert.equal(starts.length, 2)
    const again = numbers(/ d="M([^"]*)"/.exec(page.body(starts[1] as TraceEvent))?.[1] ?? "")
    assert.equal(Number(down?.[2]) + Number(down?.[3]), (again[1] ?? 0) + 5)
    const hatch = /<rect class="hatch" x="([\d.]+)"/.exec(page.text)
    assert.equal(Number(hatch?.[1]) + 10, page.x(3))
  })

  test("the violated check is said on top and across the picture, with dots on its nodes", () => {
    const page = new Page(short())
    const check = page.events("check")[0] as Of<"check">
    const said = "one-owner: two live owners of &#34;leader&#34;: a, c"
    assert.ok(page.body(check).includes(said))
    assert.match(page.text, /<p class="alarm"><a href="#e47">✗ one-owner<\/a>: two live owners/)
    const dots = /<g class="who">(.*)<\/g>/.exec(page.body(check))?.[1] ?? ""
    const xs = [...dots.matchAll(/cx="([\d.]+)"/g)].map(([, x]) => Number(x))
    assert.deepEqual(xs, [page.x(0), page.x(2)])
  })

  test("notes say the key of their data, operations their outcome, faults their words", () => {
    const { text } = new Page(short(), { replay: "run <it>", plan: '{"v":1}', title: "A & B" })
    for (const words of ["Down a (silent)", "Suspect a", "✓ register leader", "partition a | b c"])
      assert.ok(text.includes(`>${words}</text>`), words)
    assert.ok(text.includes(">settle</text>"))
    assert.ok(text.includes(">crash c</text>") && !text.includes(">crash</text>"))
    assert.ok(html(long()).includes(">Up b</text>"))
    assert.ok(text.includes('<code class="copy">run &#60;it&#62;</code>'))
    assert.ok(text.includes("<pre>{&#34;v&#34;:1}</pre>"))
    assert.ok(text.includes("<h1>A &#38; B</h1>"))
    assert.match(text, /1\.000 s – 2\.200 s<\/td><td><a href="#e\d+">partition a \| b c/)
  })
})

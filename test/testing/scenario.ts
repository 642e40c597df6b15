/**
 * A simulation in which much happens, for comparing its runs: in one program, in another, on each runtime.
 *
 * @module
 */
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Random from "effect/Random"
import * as Process from "../../src/runtime/process.ts"
import { type Simulated, simulate } from "../../src/testing/simulate.ts"

const Busy = Process.define("Busy", {
  state: () => ({ n: 0, log: [] as Array<number> }),
  calls: {
    work: (self, millis: number) =>
      Effect.gen(function* () {
        const dice = yield* Effect.forkChild(
          Effect.andThen(Effect.sleep(millis), Random.nextIntBetween(1, 1_000_000)),
        )
        self.state.log.push(yield* Clock.currentTimeMillis)
        yield* Effect.sleep(millis / 2)
        self.state.n += (yield* Random.next) + (yield* Fiber.join(dice))
        return self.state.n
      }),
    later: async (self, by: number) => {
      await Promise.resolve()
      self.after(10, "add", by)
      return self.state.log
    },
    add: (self, by: number) => (self.state.n += by),
  },
  handoff: { merge: (mine, theirs) => (mine.n > theirs.n ? mine : theirs) },
})

/** Runs it; the value is all that its operations gave. */
export function scenario(seed: number): Promise<Simulated<ReadonlyArray<unknown>>> {
  return simulate({ nodes: 4, seed, processes: [Busy], directory: false }, async (sim) => {
    const [a, b, c] = sim.nodes
    sim.noise = { latencyMicros: [100, 20_000], lossPpm: 10_000 }
    const refs = await Promise.all(["x", "y", "z"].map((key) => a!.start(Busy, key)))
    const answers: Array<unknown> = []
    const round = async (): Promise<void> => {
      const calls = refs.flatMap((ref) => [ref.try.work(150), ref.try.later(3)])
      for (const answer of await Promise.all(calls))
        answers.push(answer.ok ? answer.value : answer.error._tag)
    }
    await round()
    const cut = sim.partition([a!, b!])
    await round()
    sim.crash(c!)
    await sim.advance("12 seconds")
    cut.end()
    await c!.restart()
    await sim.join()
    b!.pause()
    await sim.advance("3 seconds")
    b!.resume()
    sim.noise = { lossPpm: 0 }
    await sim.converged()
    await round()
    answers.push(refs.map(({ key }) => sim.owners(Busy, key)))
    return answers
  })
}

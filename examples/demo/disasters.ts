/**
 * The chapters of the demonstration in which something breaks: a node is killed, another is frozen.
 * Each says what it saw, keeps its figures, and notes what doesn't hold of what Skein promises.
 *
 * @module
 */
import { renewed } from "./books.ts"
import type { Program } from "./program.ts"
import { RATE, type Stage } from "./stage.ts"

/** A process is killed: the others start its counters again, with nothing in them. */
export async function kill(stage: Stage, name: string, replacement: string): Promise<void> {
  const { screen, figures } = stage
  const one = stage.program(name)
  const names = stage.held(name)
  // A client's books die with it, and they are what everything is held against.
  await stage.books.close(one)
  const since = Date.now()
  one.signal("SIGKILL", "killed")
  screen.note(`SIGKILL to ${name}, which runs ${names.length} counters`, "warn")
  const { detectMillis, takeoverMillis } = await outage(stage, name, since, names)
  figures.detectKillMillis = detectMillis
  figures.takeoverMillis = takeoverMillis
  await stage.settle(stage.names)
  const { before, after } = await stage.check()
  const anew = renewed(before, after)
  figures.killRestarted = anew.length
  figures.killAddsLost = after.lost - before.lost
  screen.note(
    `lost: what ${anew.length} counters held, ${figures.killAddsLost} additions in all`,
    "warn",
  )
  screen.note("(a crash takes what only its node had; recovery comes in a later release)", "dim")
  screen.note(`not lost: any name, and anything on the other nodes: ${stage.spread}`)
  stage.promise(
    anew.every((key) => names.includes(key)),
    `counters off ${name} began anew`,
  )

  await stage.enter(replacement)
  await stage.settle(stage.names)
  screen.note(`three nodes again: ${stage.spread}`)
  await stage.between()
  await stage.check()
  await stage.account()
}

/** A process is frozen until the others give it up, and then goes on as if nothing had happened. */
export async function freeze(stage: Stage, name: string): Promise<void> {
  const { fleet, screen, figures } = stage
  const one = stage.program(name)
  const names = stage.held(name)
  const all = stage.names
  await stage.books.close(one)
  const since = Date.now()
  one.signal("SIGSTOP", "frozen")
  screen.note(`SIGSTOP to ${name}, which runs ${names.length} counters`, "warn")
  screen.note("its sockets stay open, so nobody is told: its silence has to be noticed", "dim")
  const { detectMillis, takeoverMillis } = await outage(stage, name, since, names)
  figures.detectFreezeMillis = detectMillis
  figures.freezeTakeoverMillis = takeoverMillis
  await stage.settle(stage.names)
  await stage.between()
  const { before, after: apart } = await stage.check()
  const anew = renewed(before, apart)
  stage.promise(anew.length === names.length, `${anew.length} counters began anew`)
  stage.promise(
    anew.every((key) => names.includes(key)),
    `counters off ${name} began anew`,
  )

  const thawedAt = Date.now()
  one.signal("SIGCONT", "running")
  screen.note(`SIGCONT to ${name}: it still believes that it runs ${names.length} counters`, "warn")
  await fleet.until(`${name} to go on`, () => ((one.view?.at ?? 0) > thawedAt ? true : undefined))
  await stage.settle(all)
  figures.rejoinMillis = Math.max(...stage.views.map(({ at }) => at)) - thawedAt
  figures.conflictsLost = fleet.sightings.filter(
    ({ at, by, event }) => by === name && at >= thawedAt && event._tag === "ConflictLost",
  ).length
  screen.note(`${name} gave ${figures.conflictsLost} names up, joined, and got its share`, "good")
  screen.note(`all agreed after ${figures.rejoinMillis} ms: ${stage.spread}`, "good")
  await stage.books.reopen(one, RATE)
  await stage.between()
  const { after } = await stage.check()
  const lost = after.lost - (figures.killAddsLost ?? 0)
  const merged = apart.lost - after.lost
  figures.freezeAddsMerged = merged
  figures.freezeAddsLost = lost
  screen.note(`the ${merged} additions it had kept were merged with those since`, "good")
  stage.promise(lost === 0, `${lost} additions that ${name} had kept were not merged`)
  await stage.account()
}

interface Fall {
  /** Milliseconds until the last of the other nodes knew. */
  readonly detectMillis: number
  /** Milliseconds until every name of the node answered every other node. */
  readonly takeoverMillis: number
}

/** Waits until all others know that a node is down, and its names answer them again. */
async function outage(
  stage: Stage,
  victim: string,
  since: number,
  names: ReadonlyArray<string>,
): Promise<Fall> {
  const { fleet } = stage
  const knownAt = new Map<string, number>()
  stage.outages.push({ victim, since, knownAt })
  const learn = (one: Program): number | undefined =>
    fleet.sightings.find(
      ({ at, by, event }) =>
        by === one.name && at >= since && event._tag === "MemberDown" && event.node === victim,
    )?.at
  const others = fleet.running
  const answered = others.map(async (one) => {
    knownAt.set(one.name, await fleet.until(`${one.name} to see ${victim} down`, () => learn(one)))
    await one.ask("read", names)
    return Date.now()
  })
  const takenOverAt = Math.max(...(await Promise.all(answered)))
  const detectMillis = Math.max(...knownAt.values()) - since
  const takeoverMillis = takenOverAt - since
  stage.screen.note(`all others know after ${detectMillis} ms`, "good")
  stage.screen.note(`all ${names.length} names answer again after ${takeoverMillis} ms`, "good")
  return { detectMillis, takeoverMillis }
}

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
  await stage.books.close(one)
  const since = Date.now()
  one.signal("SIGKILL", "killed")
  screen.note(`SIGKILL to ${name}, which runs ${names.length} counters`, "warn")
  const fall = await outage(stage, name, since, names)
  figures.detectKillMillis = fall.detectMillis
  figures.takeoverMillis = fall.takeoverMillis
  await stage.settle(stage.names)
  const { before, after } = await stage.check()
  const anew = renewed(before, after)
  figures.killRestarted = anew.length
  figures.killAddsLost = after.lost - before.lost
  screen.note(
    `all others know after ${fall.detectMillis} ms; all ${names.length} names answer again after ${fall.takeoverMillis} ms`,
    "good",
  )
  screen.note(
    `lost: what ${anew.length} counters held, ${figures.killAddsLost} acknowledged additions. They began again at 0: what a crash takes no other node holds yet (recovery comes in a later release)`,
    "warn",
  )
  screen.note(`not lost: any name, and anything that ran elsewhere: ${stage.spread}`)
  stage.promise(
    anew.every((key) => names.includes(key)),
    `counters began anew that weren't on ${name}`,
  )
  screen.note(`${replacement} takes its place`)
  await stage.enter(replacement)
  await stage.settle(stage.names)
  screen.note(`three nodes again: ${stage.spread}`, "good")
  await stage.check()
  await stage.between()
  await stage.account()
}

/** A process is frozen for longer than the others wait for it, and goes on. */
export async function freeze(stage: Stage, name: string): Promise<void> {
  const { fleet, screen, figures } = stage
  const one = stage.program(name)
  const names = stage.held(name)
  const all = stage.names
  await stage.books.close(one)
  const since = Date.now()
  one.signal("SIGSTOP", "frozen")
  screen.note(
    `SIGSTOP to ${name}, which runs ${names.length} counters: its sockets stay open, it just says nothing`,
    "warn",
  )
  const fall = await outage(stage, name, since, names)
  figures.detectFreezeMillis = fall.detectMillis
  figures.freezeTakeoverMillis = fall.takeoverMillis
  await stage.settle(stage.names)
  screen.note(
    `all others know after ${fall.detectMillis} ms; all ${names.length} names answer again after ${fall.takeoverMillis} ms`,
    "good",
  )
  await stage.between()

  const thawedAt = Date.now()
  one.signal("SIGCONT", "running")
  screen.note(`SIGCONT to ${name}: it believes that it still runs ${names.length} counters`, "warn")
  await fleet.until(`${name} to notice`, () =>
    one.view !== undefined && one.view.at > thawedAt ? true : undefined,
  )
  await stage.settle(all)
  figures.rejoinMillis = Math.max(...stage.views.map(({ at }) => at)) - thawedAt
  figures.conflictsLost = fleet.sightings.filter(
    ({ at, by, event }) => by === name && at >= thawedAt && event._tag === "ConflictLost",
  ).length
  const { before, after } = await stage.check()
  figures.freezeRestarted = renewed(before, after).length
  figures.freezeAddsLost = after.lost - before.lost
  screen.note(
    `${name} gave way for ${figures.conflictsLost} names and is a member again: ${figures.rejoinMillis} ms`,
    "good",
  )
  screen.note(`every counter has one owner: ${stage.spread}`, "good")
  screen.note(
    `lost: what ${figures.freezeRestarted} counters held, ${figures.freezeAddsLost} acknowledged additions, as after a crash`,
    "warn",
  )
  stage.promise(
    renewed(before, after).every((key) => names.includes(key)),
    `counters began anew that weren't on ${name}`,
  )
  await stage.books.reopen(one, RATE)
  await stage.between()
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
  const downAt = Math.max(...knownAt.values())
  return { detectMillis: downAt - since, takeoverMillis: takenOverAt - since }
}

/**
 * The chapters of the demonstration in which nothing breaks: nodes find each other, join and leave.
 * Each says what it saw, keeps its figures, and notes what doesn't hold of what Skein promises.
 *
 * @module
 */
import { renewed, resumed } from "./books.ts"
import { keys } from "./counter.ts"
import { RATE, type Stage } from "./stage.ts"

/** Three nodes find each other, and one starts the counters. */
export async function form(stage: Stage, names: ReadonlyArray<string>): Promise<void> {
  const { fleet, screen, figures } = stage
  const startedAt = Date.now()
  const [first, ...others] = names.map((name) => fleet.launch(name))
  if (first === undefined) throw new Error("BUG: no names")
  screen.note(`three processes start: ${names.join(", ")}`)
  stage.address = await first.ask("join", first.name, [])
  screen.note(
    `${first.name} listens on ${stage.address}; the others are told this address, no more`,
  )
  await Promise.all(others.map((one) => one.ask("join", one.name, [stage.address])))
  const formedAt = await fleet.until("three members everywhere", () => {
    const { views } = stage
    const all = views.every(({ members }) => names.every((name) => members[name] === "up"))
    return all && views.length === names.length ? Math.max(...views.map(({ at }) => at)) : undefined
  })
  figures.formationMillis = formedAt - startedAt
  screen.note(
    `all three see three members: ${figures.formationMillis} ms, process start included`,
    "good",
  )

  const beganAt = Date.now()
  const started = await first.ask("start")
  figures.startMillis = Date.now() - beganAt
  await stage.settle(names)
  screen.note(`${first.name} started ${started} counters in ${figures.startMillis} ms`)
  screen.note(`the ring placed them: ${stage.spread}`, "good")
  for (const one of fleet.running) await stage.books.reopen(one, RATE)
  screen.note(`in each node a client calls random counters, ${RATE} times a second`)
  await stage.between()
  await stage.check()
}

/** A node joins: its share of the counters moves there while they are called. */
export async function join(stage: Stage, name: string): Promise<void> {
  const { screen, figures } = stage
  const startedAt = Date.now()
  const one = await stage.enter(name)
  await stage.settle(stage.names)
  figures.joinMillis = (one.view?.at ?? 0) - startedAt
  const { before, after } = await stage.check()
  const moved = keys.filter((key) => after.readings.get(key)?.node === name)
  const kept = resumed(before, after, moved)
  figures.joinMoved = moved.length
  figures.joinMovedWithState = kept.length
  const share = Math.round((100 * moved.length) / keys.length)
  screen.note(
    `${moved.length} counters (${share} %) moved to ${name}, ${kept.length} with their state`,
    "good",
  )
  screen.note(`done ${figures.joinMillis} ms after its process was started: ${stage.spread}`)
  stage.promise(share >= 15 && share <= 35, `${share} % of the counters moved, not about a quarter`)
  stage.promise(kept.length === moved.length, "counters lost their state as they moved")
  stage.promise(renewed(before, after).length === 0, "counters started anew as a node joined")
  await stage.between()
  await stage.account()
}

/** A node leaves: its counters go to the others while they are called. */
export async function leave(stage: Stage, name: string): Promise<void> {
  const { screen, figures } = stage
  const one = stage.program(name)
  const moved = stage.held(name)
  await stage.books.close(one)
  screen.note(`${name} is asked to leave; its own client has stopped, the others go on`)
  const startedAt = Date.now()
  await one.ask("leave")
  figures.leaveMillis = Date.now() - startedAt
  one.dismiss()
  await stage.settle(stage.names)
  const { before, after } = await stage.check()
  const kept = resumed(before, after, moved)
  figures.leaveMoved = moved.length
  figures.leaveMovedWithState = kept.length
  screen.note(
    `${moved.length} counters moved away in ${figures.leaveMillis} ms, ${kept.length} with their state`,
    "good",
  )
  screen.note(`now on the others: ${stage.spread}`)
  stage.promise(kept.length === moved.length, "counters lost their state as they moved")
  stage.promise(renewed(before, after).length === 0, "counters started anew as a node left")
  await stage.between()
  await stage.account()
}

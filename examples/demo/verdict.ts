/**
 * The end of the demonstration: all clients stop, and every counter is held against their books.
 *
 * @module
 */
import { ownersMax, unexcused } from "./audit.ts"
import { keys } from "./counter.ts"
import type { Stage } from "./stage.ts"

/** Notes what doesn't hold now that nothing is under way any more. */
export async function judge(stage: Stage): Promise<void> {
  const { fleet, figures, screen, books, outages } = stage
  await Promise.all(fleet.running.map((one) => books.close(one)))
  await stage.settle(stage.names)
  const { after } = await stage.check()
  const views = await Promise.all(fleet.running.map((one) => one.ask("look")))
  figures.ownersPerNameMax = ownersMax(views)
  const served = new Set(views.flatMap(({ serving }) => serving))
  figures.namesLost = keys.length - served.size

  const tallies = await books.tallies()
  const all = [...tallies.values()]
  const failures = all.flatMap((tally) => tally.failures)
  const failed = unexcused(tallies, outages)
  figures.callsTotal = all.reduce((sum, { calls }) => sum + calls, 0)
  figures.callsFailed = failed.length
  figures.callsExcused = failures.length - failed.length
  figures.addsLost = after.lost
  figures.countersWrong = after.wrong.length

  screen.note(
    `${figures.callsTotal} calls; ${figures.callsFailed} failed without an excuse`,
    "good",
  )
  screen.note(
    `${figures.callsExcused} more failed because they were made to the killed or frozen node before the caller knew`,
  )
  screen.note(
    `${keys.length - after.wrong.length} of ${keys.length} counters hold what their clients know they must`,
  )
  screen.note(
    `${figures.namesLost} names lost; at most ${figures.ownersPerNameMax} owner of a name`,
  )
  const [example] = failed
  stage.promise(example === undefined, `${failed.length} calls failed: ${JSON.stringify(example)}`)
  stage.promise(figures.namesLost === 0, `${figures.namesLost} names are lost`)
  stage.promise(figures.ownersPerNameMax === 1, `a name has ${figures.ownersPerNameMax} owners`)
}

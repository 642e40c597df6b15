/**
 * The end of the demonstration: all clients stop, and every counter is held against their books.
 *
 * @module
 */
import { ownersMax } from "./agreement.ts"
import { keys } from "./counter.ts"
import type { Stage } from "./stage.ts"

/** Notes what doesn't hold now that nothing is under way any more. */
export async function judge(stage: Stage): Promise<void> {
  const { fleet, figures, screen, books } = stage
  await Promise.all(fleet.running.map((one) => books.close(one)))
  await stage.settle(stage.names)
  const { after } = await stage.check()
  const views = await Promise.all(fleet.running.map((one) => one.ask("look")))
  figures.ownersPerNameMax = ownersMax(views)
  const served = new Set(views.flatMap(({ serving }) => serving))
  figures.namesLost = keys.length - served.size

  figures.addsLost = after.lost
  figures.countersWrong = after.wrong.length

  await stage.account()
  const right = keys.length - after.wrong.length
  screen.note(`${right} of ${keys.length} counters hold what the books of the clients say`, "good")
  screen.note(
    `names lost: ${figures.namesLost}; owners of a name: ${figures.ownersPerNameMax} at most`,
    "good",
  )
  stage.promise(figures.namesLost === 0, `${figures.namesLost} names are lost`)
  stage.promise(figures.ownersPerNameMax === 1, `a name has ${figures.ownersPerNameMax} owners`)
}

export type Phase = "joining" | "up" | "leaving"
export type Rank = 0 | 1 | 2 | 3
export interface Claim { readonly name: string; readonly epoch: number; readonly incarnation: number; readonly rank: Rank
  readonly accusers: ReadonlyArray<string>; readonly hard: ReadonlyArray<string>
  readonly phase: Phase; readonly address: string; readonly instance: number
  readonly weight: number; readonly roles: ReadonlyArray<string> }

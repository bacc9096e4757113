import { Violation } from '../scheduler.js';
import { BANK, PAIR, SEATS, SEATS_MAX } from './native-procedures.js';

export const ACCOUNTS = 4;
export const BALANCE = 100;

type State = ReadonlyMap<string, string>;

/** @throws Violation something is not as the procedures keep it, each by itself */
export function checkState(state: State, when: string): void {
  const balances = numbersBelow(BANK, state);
  if (balances.length > 0) checkBalances(balances, when);
  const sides = numbersBelow(PAIR, state);
  if (sides.length > 0) checkSides(sides, when);
  checkSeats(
    [...state.keys()].filter((key) => key.startsWith(SEATS)),
    when,
  );
}

export function checkBalances(balances: readonly unknown[], when: string): void {
  const sum = balances.reduce<number>((total, value) => total + (value as number), 0);
  const isWhole = balances.length === ACCOUNTS && sum === ACCOUNTS * BALANCE;
  if (isWhole && balances.every((value) => (value as number) >= 0)) return;
  throw new Violation(`Calls: ${when} the balances are ${balances.join(', ')}`);
}

export function checkSides(sides: readonly unknown[], when: string): void {
  if (sides.reduce<number>((total, value) => total + (value as number), 0) >= 1) return;
  throw new Violation(`Calls: ${when} both of the pair were taken (write skew)`);
}

export function checkSeats(taken: readonly unknown[], when: string): void {
  if (taken.length <= SEATS_MAX) return;
  throw new Violation(`Calls: ${when} ${taken.join(', ')} are taken, of ${SEATS_MAX} (phantom)`);
}

function numbersBelow(prefix: string, state: State): number[] {
  const keys = [...state.keys()].filter((key) => key.startsWith(prefix));
  return keys.map((key) => JSON.parse(state.get(key) as string) as number);
}

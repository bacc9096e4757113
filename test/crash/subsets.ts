import type { Random } from '../../src/base/random.js';
import type {
  CrashChoice,
  DataFate,
  NameChange,
  Unsynced,
} from '../../src/storage/memory-files.js';
import { type Change, SECTOR_BYTES } from '../../src/storage/memory-inode.js';

/** What becomes of one change. */
type Fate = DataFate | 'name kept' | 'name lost';

const EVEN: DataFate = (sector) => sector % 2 === 0;
const ODD: DataFate = (sector) => sector % 2 === 1;

/** What each change can come to: names are there or not; a write may also be torn between sectors. */
function fatesOf({ data, names }: Unsynced): { changes: (Change | NameChange)[]; fates: Fate[][] } {
  const fates: Fate[][] = [
    ...names.map((): Fate[] => ['name lost', 'name kept']),
    ...data.map(({ change }): Fate[] =>
      isTearable(change) ? ['lost', 'kept', EVEN, ODD] : ['lost', 'kept'],
    ),
  ];
  return { changes: [...names, ...data.map(({ change }) => change)], fates };
}

function isTearable(change: Change): boolean {
  if ('size' in change) return false;
  const first = Math.floor(change.position / SECTOR_BYTES);
  const last = Math.floor((change.position + change.bytes.length - 1) / SECTOR_BYTES);
  return last > first;
}

/** How many different things a power failure can leave now. */
export function outcomes(unsynced: Unsynced): number {
  return fatesOf(unsynced).fates.reduce((product, fates) => product * fates.length, 1);
}

/** The outcome with this number, counted from 0, which is that all is lost. */
export function outcome(unsynced: Unsynced, number: number): CrashChoice {
  const { changes, fates } = fatesOf(unsynced);
  const chosen = new Map<Change | NameChange, Fate>();
  let rest = number;
  changes.forEach((change, position) => {
    const options = fates[position] as Fate[];
    chosen.set(change, options[rest % options.length] as Fate);
    rest = Math.floor(rest / options.length);
  });
  return {
    data: (_path, change) => chosen.get(change) as DataFate,
    keepsName: (_folder, change) => chosen.get(change) === 'name kept',
  };
}

/** All outcomes if they are not more than `most`, else so many: all lost, all kept, and what the dice say. */
export function chosenOutcomes(count: number, random: Random, most: number): number[] {
  if (count <= most) return Array.from({ length: count }, (_, number) => number);
  const chosen = new Set([0, count - 1]);
  while (chosen.size < most) chosen.add(random.int(count));
  return [...chosen];
}

import { setTimeout as delay } from 'node:timers/promises';

/** What workers of jobs have. */

export interface Part {
  readonly n: number;
  /** How long the task takes. */
  readonly ms: number;
}

interface TaskContext<Input> {
  readonly input: Input;
}

export async function triple({ input: { n, ms } }: TaskContext<Part>): Promise<number> {
  await delay(ms);
  return 3 * n;
}

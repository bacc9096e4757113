import { BalsaError } from '../base/errors.js';
import { FAILPOINTS, type Failpoints } from '../base/failpoints.js';

/** `exit`: the process is killed there and then. `error`: the step fails as a broken disk would. */
type FailpointAction = 'exit' | 'error';

interface ArmedFailpoint {
  readonly action: FailpointAction;
  /** Hits to pass before the one that acts. */
  remaining: number;
}

/** What ends the process; a test passes something milder. */
export type KillProcess = () => void;

/**
 * Failpoints that a test turned on. Each acts once, at its n-th hit.
 *
 * @example
 * FailpointSet.parse('wal.before-sync=exit@3,state.after-flush=error')
 */
export class FailpointSet implements Failpoints {
  readonly #armed: ReadonlyMap<string, ArmedFailpoint>;
  readonly #kill: KillProcess;

  private constructor(armed: ReadonlyMap<string, ArmedFailpoint>, kill: KillProcess) {
    this.#armed = armed;
    this.#kill = kill;
  }

  /**
   * Reads `<name>=<exit|error>[@<n>]`, separated by commas; n counts from 1, the default.
   * @throws BalsaError `CONFIG_INVALID`
   */
  static parse(spec: string, kill: KillProcess = killHard): FailpointSet {
    const parts = spec.split(',').filter((part) => part.trim() !== '');
    return new FailpointSet(new Map(parts.map((part) => parseFailpoint(part.trim()))), kill);
  }

  hit(name: string): void {
    const armed = this.#armed.get(name);
    if (armed === undefined) return;
    armed.remaining -= 1;
    if (armed.remaining !== 0) return;
    if (armed.action === 'exit') this.#kill();
    throw Object.assign(new Error(`EIO: failpoint ${name}`), { code: 'EIO' });
  }
}

function parseFailpoint(part: string): [string, ArmedFailpoint] {
  const match = /^([\w.-]+)=(exit|error)(?:@([1-9]\d*))?$/.exec(part);
  const [, name, action, hits] = match ?? [];
  if (name === undefined || (action !== 'exit' && action !== 'error')) {
    throw invalid(`failpoint '${part}' is not of the form <name>=<exit|error>[@<n>]`);
  }
  if (!(FAILPOINTS as readonly string[]).includes(name)) {
    throw invalid(`there is no failpoint '${name}'; there are: ${FAILPOINTS.join(', ')}`);
  }
  return [name, { action, remaining: hits === undefined ? 1 : Number(hits) }];
}

function invalid(message: string): BalsaError {
  return new BalsaError('CONFIG_INVALID', message);
}

/** As `kill -9`: no handler runs, nothing is flushed. */
function killHard(): void {
  process.kill(process.pid, 'SIGKILL');
}

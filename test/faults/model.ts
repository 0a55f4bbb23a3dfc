import fc from 'fast-check';

/** A model of the state machine of pipelines, small enough to verify by reading. */

/** A step. `slot` is the index of a pipeline, `nth` that of a process. */
export type Step =
  | { do: 'create' | 'start' | 'delete'; slot: number }
  | { do: 'stop'; slot: number; mode: 'checkpoint' | 'graceful' | 'immediate' | 'force' }
  | { do: 'restart'; slot: number; force: boolean }
  | { do: 'rescale'; slot: number; parallelism: number }
  | { do: 'edit'; slot: number; what: 'query' | 'table' | 'profile' }
  | { do: 'kill' | 'revive'; nth: number }
  | { do: 'lose database'; how: 'cut' | 'silence' }
  | { do: 'find database' | 'settle' };

/** The desired state of a pipeline. */
export interface Wanted {
  runs: boolean;
  parallelism: number;
}

export class Model {
  readonly pipelines = new Map<number, Wanted>();
  readonly alive: boolean[];
  database = true;

  constructor(processes: number) {
    this.alive = Array.from({ length: processes }, () => true);
  }

  /** Whether the system can reach the desired state now. */
  get sound(): boolean {
    return this.database && this.alive.some((alive) => alive);
  }

  /** Whether the step makes sense now. */
  allows(step: Step): boolean {
    switch (step.do) {
      case 'kill':
        return this.alive[step.nth] === true;
      case 'revive':
        return this.database && this.alive[step.nth] === false;
      case 'lose database':
        return this.database;
      case 'find database':
        return !this.database;
      case 'settle':
        return this.sound;
      case 'create':
        return this.sound && !this.pipelines.has(step.slot);
      case 'delete':
        return this.sound && this.pipelines.has(step.slot);
      default:
        // Without a database it is refused and changes nothing.
        return this.alive.includes(true) && this.pipelines.has(step.slot);
    }
  }

  /** Updates the model after a step. */
  follow(step: Step): void {
    if (step.do === 'kill' || step.do === 'revive') this.alive[step.nth] = step.do === 'revive';
    else if (step.do === 'lose database' || step.do === 'find database')
      this.database = step.do === 'find database';
    else if (step.do === 'create') this.pipelines.set(step.slot, { runs: true, parallelism: 1 });
    else if (step.do === 'delete') this.pipelines.delete(step.slot);
    else if (step.do !== 'settle' && this.database) this.#want(step);
  }

  #want(step: Step): void {
    const wanted = 'slot' in step && this.pipelines.get(step.slot);
    if (!wanted) return;
    if (step.do === 'stop') wanted.runs = false;
    if (step.do === 'start' || step.do === 'restart') wanted.runs = true;
    if (step.do === 'rescale') wanted.parallelism = step.parallelism;
  }
}

/** Arbitrary steps, valid or not. */
export function stepsOf(slots: number, processes: number, length: { minLength: number; maxLength: number }) {
  const slot = fc.nat(slots - 1);
  const nth = fc.nat(processes - 1);
  const is = <const T extends string>(name: T) => fc.constant(name);
  const step: fc.Arbitrary<Step> = fc.oneof(
    { weight: 3, arbitrary: fc.record({ do: is('create'), slot }) },
    { weight: 2, arbitrary: fc.record({ do: is('start'), slot }) },
    {
      weight: 3,
      arbitrary: fc.record({
        do: is('stop'),
        slot,
        mode: fc.constantFrom('checkpoint', 'graceful', 'immediate', 'force'),
      }),
    },
    { weight: 3, arbitrary: fc.record({ do: is('restart'), slot, force: fc.boolean() }) },
    {
      weight: 3,
      arbitrary: fc.record({ do: is('rescale'), slot, parallelism: fc.integer({ min: 1, max: 3 }) }),
    },
    {
      weight: 4,
      arbitrary: fc.record({ do: is('edit'), slot, what: fc.constantFrom('query', 'table', 'profile') }),
    },
    { weight: 1, arbitrary: fc.record({ do: is('delete'), slot }) },
    { weight: 2, arbitrary: fc.record({ do: is('kill'), nth }) },
    { weight: 2, arbitrary: fc.record({ do: is('revive'), nth }) },
    { weight: 1, arbitrary: fc.record({ do: is('lose database'), how: fc.constantFrom('cut', 'silence') }) },
    { weight: 2, arbitrary: fc.record({ do: is('find database') }) },
    { weight: 3, arbitrary: fc.record({ do: is('settle') }) },
  );
  return fc.array(step, { ...length, size: 'max' });
}

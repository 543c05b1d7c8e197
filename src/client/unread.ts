/**
 * Maps that failed, or never ran, and whose results nobody has asked for: a promise would end the process, and a job is none. Who
 * asks later gets the error as ever; what is left when the cluster closes is told then, and the
 * program's exit code says so.
 */
import { recordText, toErrorRecord } from '../lib/error-record.ts';
import { programHook } from './program.ts';

/** A program that runs for long is told of the oldest before its end. */
const keptMax = 16;

export class UnreadMaps {
  readonly #address: () => string;
  readonly #isOfProgram: boolean;
  readonly #failed = new Map<object, { who: string; error: unknown }>();

  /** `isOfProgram`: the program's own cluster, and not one among others. */
  constructor(address: () => string, isOfProgram: boolean) {
    this.#address = address;
    this.#isOfProgram = isOfProgram;
  }

  failed(map: object, who: string, error: unknown): void {
    this.#failed.set(map, { who, error });
    const oldest = this.#failed.keys().next().value;
    if (this.#failed.size > keptMax && oldest) this.#tell(oldest);
  }

  read(map: object): void {
    this.#failed.delete(map);
  }

  clear(): void {
    this.#failed.clear();
  }

  tellAll(): void {
    for (const map of [...this.#failed.keys()]) this.#tell(map);
  }

  #tell(map: object): void {
    const { who, error } = this.#failed.get(map)!;
    this.#failed.delete(map);
    if (this.#isOfProgram && !process.exitCode) process.exitCode = 1;
    const isCutOff = (error as { code?: unknown } | undefined)?.code === 'SH1302';
    const what = isCutOff ? 'it ended with the program: await what it gives' : `it failed: ${recordText(toErrorRecord(error))}`;
    const text = `${who}: nobody read what this map gives, and ${what}`;
    const hook = programHook();
    if (hook?.tell) hook.tell('unread', text, { jobs: [], address: this.#address() });
    else process.stderr.write(`shoal: ${text}\n`);
  }
}

/** First module of a thread that only finds out which tasks some modules define. */
import { parentPort, workerData } from 'node:worker_threads';
import { toErrorRecord } from '../../lib/error-record.ts';
import { definedNames } from '../../tasks/definition.ts';
import { enterTaskThread } from '../../tasks/where-am-i.ts';
import type { NamesAnswer } from '../discover.ts';

enterTaskThread();
process.setSourceMapsEnabled(true);
let answer: NamesAnswer = { names: [] };
for (const module of workerData as readonly string[]) {
  try {
    await import(module);
  } catch (thrown) {
    answer = { module, error: toErrorRecord(thrown) };
    break;
  }
}
if ('names' in answer) answer = { names: definedNames() };
parentPort!.postMessage(answer);

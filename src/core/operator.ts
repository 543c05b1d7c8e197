/** What operators ask: lists, why something waits, dead letters and what becomes of them. */
import { TaskState } from './columns.ts';
import { unknownJob } from './drop.ts';
import type { DeadLetter, FromClient } from './messages.ts';
import type { Job, State } from './state.ts';
import { storyKey } from './state.ts';
import type { Turn } from './turn.ts';
import { failureOf } from './view.ts';

export type OperatorMessage = Extract<
  FromClient,
  {
    kind:
      | 'deadLetters'
      | 'purge'
      | 'listJobs'
      | 'listTasks'
      | 'getTask'
      | 'listWorkers'
      | 'drainWorker'
      | 'listQueues'
      | 'status'
      | 'explain';
  }
>;

export function onOperator(state: State, session: string, message: OperatorMessage, turn: Turn): void {
  if (message.kind === 'deadLetters') {
    const job = state.jobs.get(message.job ?? '');
    if (!job || job.dropping) turn.tell(session, { kind: 'refusal', request: message.request, error: unknownJob(message.job ?? '') });
    else turn.tell(session, { kind: 'reply', request: message.request, value: deadLetters(state, job) });
    return;
  }
  turn.tell(session, { kind: 'refusal', request: message.request, error: { code: 'SH1401', message: 'not here yet' } });
}

function deadLetters(state: State, job: Job): DeadLetter[] {
  const letters: DeadLetter[] = [];
  for (const stage of job.stages) {
    if (stage.counts[TaskState.dead] === 0 || stage.spec.onFailure === 'drop') continue;
    for (let index = 0; index < stage.columns.length; index++) {
      if (stage.columns.state(index) !== TaskState.dead) continue;
      const story = job.stories.get(storyKey(stage.index, index));
      letters.push({
        ...failureOf(state, job, stage, index),
        label: `${stage.spec.definition?.name ?? job.spec.name}[${index}]`,
        history: story?.history ?? [],
      });
    }
  }
  return letters;
}

/**
 * The rules of DESIGN.md and the holes (H) that they close: where schedules have to come by for the simulator to see them, or
 * who looks instead. simulation.test.ts runs until all of them were reached, and holds this list against the mutants.
 */
export interface Rule {
  id: string;
  says: string;
  /** A probe. */
  reached?: string;
  /** Not seen here, or nothing that could be switched off would show: why, and who looks. */
  instead?: string;
}

export const rules: readonly Rule[] = [
  { id: 'rule 1', says: 'durable before visible', reached: 'a submission is confirmed behind its append' },
  { id: 'rule 2', says: 'one writer, by conflict', reached: 'an append conflicts' },
  { id: 'rule 3', says: 'unknown is an outcome', reached: 'an append has an unknown outcome' },
  { id: 'rule 4', says: 'leaders end by themselves', reached: 'a leader stands by again' },
  { id: 'rule 5', says: 'one outcome a task', reached: 'a result of what is closed comes' },
  { id: 'rule 6', says: 'started is a hint that is written down', reached: 'what was started before a takeover is resolved' },
  { id: 'rule 7', says: 'blame only the guilty', reached: 'a task is blamed for the loss of its worker' },
  { id: 'rule 8', says: 'reconcile by heartbeat', reached: 'a worker is asked for all that it holds' },
  { id: 'rule 9', says: 'addresses name their generation', reached: 'a word of an earlier life is repeated' },
  {
    id: 'rule 10',
    says: 'silence is judged slowly, closing quickly',
    reached: 'a worker comes back within the grace after its line closed',
  },
  { id: 'rule 11', says: 'partials are all or nothing', reached: 'a partial is counted' },
  { id: 'rule 12', says: 'nothing is re-opened', reached: 'a job is deleted' },
  { id: 'rule 13', says: 'registry first', reached: 'a key stands for a job that is there' },
  { id: 'rule 14', says: 'nobody’s code in the coordinator', reached: 'a worker combines before it reports' },
  { id: 'rule 15', says: 'bounded everything', reached: 'the journal is full' },
  { id: 'H1', says: 'a write that was given up shows up', reached: 'a write that was reported as unknown shows up later' },
  { id: 'H2', says: 'what is dropped comes back', reached: 'a job that is gone is said to be gone' },
  { id: 'H3', says: 'an effect before its append', reached: 'a submission is confirmed behind its append' },
  { id: 'H4', says: 'two who write', reached: 'two leaders are granted at once' },
  { id: 'H5', says: 'a failure of one who no longer holds the task', reached: 'a failure of what is closed comes' },
  { id: 'H6', says: 'what may kill starts twice', reached: 'what may kill is written down before it starts' },
  { id: 'H7', says: 'a suspect starts, and nobody knows', reached: 'what may kill is written down before it starts' },
  { id: 'H8', says: 'what ran before a takeover runs again at once', reached: 'what was started before a takeover is resolved' },
  { id: 'H9', says: 'words of an earlier life', reached: 'a word of an earlier life is repeated' },
  {
    id: 'H10',
    says: 'an older beat behind a newer one',
    reached: 'an older beat comes behind a newer one',
  },
  { id: 'H11', says: 'memory rolled back after an unknown outcome', reached: 'an append has an unknown outcome' },
  { id: 'H12', says: 'a broken line takes a worker’s tasks', reached: 'a worker comes back within the grace after its line closed' },
  { id: 'H13', says: 'a job whose stream is empty', reached: 'a takeover finds a job without an entry of its own' },
  { id: 'H14', says: 'inputs twice', reached: 'inputs come again' },
  { id: 'H15', says: 'a replay of what is not as expected', reached: 'tasks are replayed' },
  { id: 'H16', says: 'a partial over a task that is closed', reached: 'a partial of what is closed comes' },
  { id: 'H17', says: 'streams without end', reached: 'the registry rolls' },
  { id: 'H18', says: 'an idle leader that was replaced', reached: 'an idle leader shows that it leads' },
  { id: 'H19', says: 'a torn tail', reached: 'a process opens a journal that others have had' },
];

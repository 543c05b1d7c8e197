/** All verbs that look at a cluster or change it. They load the client, which `shoal run` need not wait for. */
import type { Command } from 'commander';
import { clusterOptions } from '../flags.ts';
import { defineDoctor } from './doctor.ts';
import { defineJobs } from './jobs.ts';
import { defineExplain, defineStatus } from './status.ts';
import { defineDeadLetters, defineTasks } from './tasks.ts';
import { defineQueues, defineWorkers } from './workers.ts';

const verbs: readonly [string, (command: Command) => void][] = [
  ['status', defineStatus],
  ['explain', defineExplain],
  ['doctor', defineDoctor],
  ['jobs', defineJobs],
  ['tasks', defineTasks],
  ['workers', defineWorkers],
  ['dlq', defineDeadLetters],
  ['queues', defineQueues],
];

export function defineAdmin(program: Command): void {
  for (const [name, define] of verbs) {
    const command = program.command(name);
    define(command);
    const leaves = command.commands.length === 0 ? [command] : command.commands;
    for (const leaf of leaves) for (const option of clusterOptions()) leaf.addOption(option);
  }
}

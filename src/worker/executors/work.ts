/** The words that the executors share with the protocol. */

export type { ArgShape, ErrorRecord, InputShape, LogLine, Ranges } from '../../core/messages.ts';
export type { DefinitionRef } from '../../core/spec.ts';

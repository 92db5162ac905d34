/**
 * Writes a model under a policy as a checkpoint of other programs. Start reading at {@link
 * dev.kvshare.apply.export.FolderExport}.
 */
package dev.kvshare.apply.export;

/** Chat templates: start at {@link dev.kvshare.apply.model.tokenizer.template.ChatTemplate}. */
package dev.kvshare.apply.model.tokenizer.template;

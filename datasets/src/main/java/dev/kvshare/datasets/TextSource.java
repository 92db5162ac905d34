package dev.kvshare.datasets;

/** Where calibration or evaluation text comes from. */
public sealed interface TextSource {
  /** Returns the file name or the name of the data set. */
  String name();

  /** Reads the text as a whole, which must be what it claims to be. */
  Corpus load();

  /** A plain text, or with a {@code field} rows of data. */
  static TextSource of(ByteSource bytes, String field) {
    return field == null ? new Plain(bytes) : new Rows(bytes, field);
  }

  /**
   * A text in UTF-8 whose paragraphs are separated by blank lines or, where there are none between
   * other lines, are its lines. Nothing in it is interpreted: Markdown and HTML are text as well.
   */
  record Plain(ByteSource bytes) implements TextSource {
    @Override
    public String name() {
      return bytes.name();
    }

    @Override
    public Corpus load() {
      byte[] content = bytes.read();
      String text = PlainText.decode(content, name());
      return new Corpus.Text(name(), ByteSource.sha256(content), text, PlainText.paragraphs(text));
    }
  }

  /**
   * JSON objects, one a line or in one array, or the rows of a Parquet file, of which one field
   * holds a text, or token ids as integers.
   *
   * @param bytes the file
   * @param field the name of the field or a JSON pointer such as {@code /data/text}; null takes
   *     {@code text}, {@code input_ids} or {@code token_ids}, whichever the first line has
   */
  record Rows(ByteSource bytes, String field) implements TextSource {
    @Override
    public String name() {
      return bytes.name();
    }

    @Override
    public Corpus load() {
      return JsonTextReader.read(name(), bytes.read(), field);
    }
  }

  /** A built-in or imported data set: its description and its text. */
  record Named(Dataset dataset, TextSource source) implements TextSource {
    @Override
    public String name() {
      return dataset.name();
    }

    @Override
    public Corpus load() {
      Corpus corpus = source.load();
      if (!corpus.sha256().equals(dataset.sha256())) {
        throw new DatasetException(
            "The data set %s has changed since it was imported: its SHA-256 is %s, expected %s. Import it again with `kvshare datasets import %s FILE --force`."
                .formatted(name(), corpus.sha256(), dataset.sha256(), name()));
      }
      return corpus;
    }
  }
}

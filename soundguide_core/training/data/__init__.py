"""What training learns from: folders of pictures, clips or captioned pictures, WebDataset shards, named sources.

A recipe's [data] has one of

    folder = "PATH"                       pictures in any depth, clips, or pictures with captions; or x-{000..099}.tar
    source = "package.module:function"    called with the other entries; if it begins with a dot, this package's

and, where decoded or rendered data shall be kept from run to run, cache = "PATH".
"""

/** What a first visit opens with. GraphiQL names a tab after its operation. */

const pretty = (variables: unknown): string => JSON.stringify(variables, null, 2);

const signIn = {
  query: `# Run this first: Ctrl-Enter, or the pink button.
#
# The explorer keeps the access token and sends it
# with whatever follows, until you sign out (top
# right). An Authorization header below goes first.

mutation SignIn($input: LoginInput!) {
  login(input: $input) {
    accessToken
    accessTokenExpiresAt
    user {
      fullName
      email
    }
    errors {
      code
      message
      field
    }
  }
}
`,
  variables: pretty({ input: { email: "author@example.com", password: "broadside-demo" } }),
};

const nestedFeed = {
  query: `# Ten posts with their authors, tags and newest
# comments: a handful of SQL statements in all.

query NestedFeed {
  posts(first: 10, filter: { status: PUBLISHED }) {
    nodes {
      title
      author {
        fullName
      }
      tags {
        name
      }
      commentCount
      comments(first: 3) {
        nodes {
          body
          author {
            fullName
          }
        }
      }
    }
    pageInfo {
      hasNextPage
      endCursor
    }
  }
}
`,
  variables: "",
};

const writePost = {
  query: `# Sign in first. What you can get wrong comes back
# in "errors" beside a null post: try an empty title.

mutation WritePost($input: CreatePostInput!) {
  createPost(input: $input) {
    post {
      id
      title
      slug
      status
      publishedAt
      author {
        fullName
      }
      tags {
        name
      }
    }
    errors {
      code
      message
      field
    }
  }
}
`,
  variables: pretty({
    input: {
      title: "Hello from the explorer",
      body: "Written in the browser, stored in PostgreSQL.",
      tags: [],
      publish: true,
    },
  }),
};

const addComment = {
  query: `# Sign in first. "postId" below is the first post
# of the demo author; any other post's "id" will do,
# such as the one that WritePost answers with.

mutation AddComment($input: AddCommentInput!) {
  addComment(input: $input) {
    comment {
      id
      body
      createdAt
      author {
        fullName
      }
      post {
        title
        commentCount
      }
    }
    errors {
      code
      message
      field
    }
  }
}
`,
  // The demo data's first post, which is always published: Post:1 in base64.
  variables: pretty({ input: { postId: btoa("Post:1"), body: "Commented from the explorer." } }),
};

const liveComments = {
  query: `# Run this, and it waits: the button stops it. Then
# open the explorer in a second window and run
# AddComment there: the comment arrives here.

subscription LiveComments($postId: ID!) {
  commentAdded(postId: $postId) {
    id
    body
    createdAt
    author {
      fullName
    }
  }
}
`,
  variables: pretty({ postId: btoa("Post:1") }),
};

export const tabs = [signIn, nestedFeed, writePost, addComment, liveComments] as const;
